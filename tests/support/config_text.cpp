#include "tests/support/config_text.hpp"

namespace penstock::test {

namespace {

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

void append_service(std::string& out, const Service& service) {
    out += "\n[[listener]]\nname = " + quoted(service.name) + "\nbind = " + quoted(service.bind) +
           "\nupstream = " + quoted(service.routed ? service.name : "") + "\n" + service.listener +
           "\n";
    if (!service.timeouts.empty()) out += "[listener.timeouts]\n" + service.timeouts + "\n";
    if (!service.routed) return;
    out += "\n[[upstream]]\nname = " + quoted(service.name) +
           "\nbalance = " + quoted(service.balance) + "\n" + service.upstream + "\n";
    for (std::size_t i = 0; i < service.backends.size(); ++i) {
        const std::string& backend = service.backends[i];
        const bool lines = backend.find('=') != std::string::npos;
        out += "[[upstream.backend]]\nname = " + quoted(backend_name(i)) + "\n" +
               (lines ? backend : "address = " + quoted(backend)) + "\n";
    }
}

}  // namespace

std::string backend_name(std::size_t index) { return "b" + std::to_string(index); }

std::string ConfigText::toml() const {
    std::string out = "[process]\n" + process + "\ndrain = " + drain + "\n\n[log]\n" + log +
                      "\n\n[access_log]\n" + access_log + "\n";
    if (!admin.empty()) out += "\n" + admin + "\n";
    for (const Service& service : services) append_service(out, service);
    out += more;
    return out;
}

}  // namespace penstock::test
