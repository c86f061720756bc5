#include "tests/deploy/machines.hpp"

#include <filesystem>
#include <fstream>

#include "tests/servers/loopback.hpp"

namespace penstock::test {

Machines::Machines(const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses)
        run_program({"ip", "address", "add", address, "dev", "lo"});
}

std::unique_ptr<ServerProcess> run_nginx(const Example& example, const std::string& file,
                                         const std::string& accepts_on, Changes changes) {
    std::string text = example.text(file, changes);
    const Address address = Address::parse(accepts_on);
    const std::string own = example.path(host_of(address));
    std::filesystem::create_directory(own);
    for (const auto& [place, here] :
         Changes{{"/var/log/nginx", own}, {"/run/nginx.pid", own + "/nginx.pid"}})
        if (text.find(place) != std::string::npos) text = changed(text, {{place, here}});
    // Beside the file of the recipe, where relative paths begin; several may run on one file.
    const std::string path = own + "." + file;
    std::ofstream(path) << text;
    return std::make_unique<ServerProcess>(
        ServerProcess::Command{.argv = {PENSTOCK_TEST_NGINX, "-p", own, "-e", "stderr", "-c", path,
                                        "-g", "daemon off; master_process off;"},
                               .accepts_on = address});
}

}  // namespace penstock::test
