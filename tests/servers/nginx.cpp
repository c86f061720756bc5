#include "tests/servers/nginx.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "tests/servers/curl.hpp"
#include "tests/servers/loopback.hpp"

namespace penstock::test {

namespace {

// Arguments: directory, address and listen words, answer, more server lines, address of the status,
// lines before everything else, and behind it.
constexpr const char* configuration = R"(
{5}
daemon off;
master_process off;
pid {0}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
    keepalive_requests 100000000;
    server {{
        listen {1};
        location = / {{ return 200 "{2}\n"; }}
        {3}
    }}
    server {{
        listen {4};
        location / {{ stub_status; }}
    }}
}}
{6}
)";

// Debian's module, from where nginx itself looks for modules.
constexpr const char* stream_module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";

std::string in_stream_block(const std::string& lines) {
    return lines.empty() ? "" : "stream {\n" + lines + "\n}";
}

}  // namespace

Nginx::Nginx(const std::string& text, const NginxOptions& options)
    : address_(options.address.empty() ? private_address() : Address::parse(options.address)),
      status_address_(private_address()) {
    const std::string directory = directory_.path().string();
    const std::string file = directory + "/nginx.conf";
    std::ofstream(file) << fmt::format(
        configuration, directory, address_.text() + " " + options.listen, text, options.server,
        status_address_.text(), options.stream.empty() ? "" : stream_module,
        in_stream_block(options.stream));
    // -e: the compiled-in error log is not for everybody to open.
    process_.emplace(ServerProcess::Command{
        .argv = {PENSTOCK_TEST_NGINX, "-p", directory, "-e", "stderr", "-c", file},
        .accepts_on = status_address_,
        .stop_signal = options.graceful ? SIGQUIT : SIGTERM});
}

// "Active connections: 1 \nserver accepts handled requests\n 7 7 9 \n..."
Nginx::Status Nginx::status() {
    std::istringstream answer(curl({"http://" + status_address_.text() + "/"}));
    std::string line;
    std::getline(answer, line);
    std::getline(answer, line);
    std::uint64_t handled = 0;
    Status status;
    if (!(answer >> status.accepted >> handled >> status.requests))
        throw std::runtime_error("nginx: no counters in the status: " + answer.str());
    ++queries_;
    status.accepted -= queries_ + 1;  // and the start-up check's connection
    status.requests -= queries_;
    return status;
}

}  // namespace penstock::test
