#include "tests/servers/redis_server.hpp"

#include "tests/servers/loopback.hpp"

namespace penstock::test {

RedisServer::RedisServer(const std::vector<std::string>& more) : address_(private_address()) {
    std::vector<std::string> argv{"redis-server",
                                  "--bind",
                                  host_of(address_),
                                  "--port",
                                  port_of(address_),
                                  "--save",
                                  "",
                                  "--appendonly",
                                  "no",
                                  "--protected-mode",
                                  "no",
                                  "--dir",
                                  directory_.path().string()};
    argv.insert(argv.end(), more.begin(), more.end());
    process_.emplace(ServerProcess::Command{.argv = std::move(argv), .accepts_on = address_});
}

RedisServer::RedisServer(const Address& address, const std::string& file) : address_(address) {
    std::vector<std::string> argv{"redis-server", file,
                                  "--bind",       host_of(address_),
                                  "--port",       port_of(address_),
                                  "--dir",        directory_.path().string()};
    process_.emplace(ServerProcess::Command{.argv = std::move(argv), .accepts_on = address_});
}

std::uint64_t RedisServer::calls(const std::string& command) const {
    const std::string statistics = redis_cli(address_, {"info", "commandstats"});
    const std::string key = "cmdstat_" + command + ":calls=";
    const auto found = statistics.find(key);
    return found == std::string::npos ? 0 : std::stoull(statistics.substr(found + key.size()));
}

std::string redis_cli(const Address& server, const std::vector<std::string>& command) {
    std::vector<std::string> argv{"redis-cli", "-e", "-h", host_of(server), "-p", port_of(server)};
    argv.insert(argv.end(), command.begin(), command.end());
    return run_program(argv);
}

std::string redis_command(const std::vector<std::string>& words) {
    std::string text = "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string& word : words) text += redis_bulk(word);
    return text;
}

std::string redis_bulk(const std::string& value) {
    return "$" + std::to_string(value.size()) + "\r\n" + value + "\r\n";
}

}  // namespace penstock::test
