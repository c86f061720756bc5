#include "tests/deploy/network.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "tests/support/access_log.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {

namespace {

UniqueFd this_network() {
    UniqueFd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!fd) throw std::runtime_error(std::string("network namespaces: ") + std::strerror(errno));
    return fd;
}

/// Puts the program under test to /usr/local/bin/penstock, and lays what is in ROOT over the file
/// system, for this program alone: /run, /usr/local, and single files and folders of /etc. The
/// shell stays, as number 1 of a namespace: a program that changes its user would forget to die
/// with its parent, the shell does not, and takes all others with it.
constexpr const char* lay_over = R"(set -eu
root=$1 program=$2
shift 2
cd "$root"
for entry in run usr/local etc/*; do
    if [ -e "$entry" ] && [ -e "/$entry" ]; then mount --bind "$root/$entry" "/$entry"; fi
done
cd /
mount --bind "$program" /usr/local/bin/penstock
"$@"
exit $?)";

std::vector<std::string> words_of(const std::filesystem::path& root,
                                  const std::vector<std::string>& options,
                                  const std::vector<std::string>& argv) {
    const auto program = root / "usr/local/bin/penstock";  // a place to mount it on
    std::filesystem::create_directories(program.parent_path());
    std::ofstream(program, std::ios::app).flush();
    std::vector<std::string> words{"unshare", "--mount", "--propagation", "private"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"sh", "-c", lay_over, "sh", root.string(), penstock_binary()});
    words.insert(words.end(), argv.begin(), argv.end());
    return words;
}

std::vector<std::string> daemon_words(const std::filesystem::path& root,
                                      const std::vector<std::string>& argv) {
    auto words = words_of(root, {"--pid", "--fork", "--kill-child=KILL", "--mount-proc"}, argv);
    // Ahead of all other tests: their timers, of less than a second, are about machines of their
    // own.
    words.insert(words.begin(), {"nice", "-n", "-10"});
    return words;
}

/// Starts on the machine; ChildProcess has no scope of its own to do that in.
ChildProcess start_on(const Machine& machine, const std::vector<std::string>& argv) {
    const auto inside = machine.enter();
    return {argv};
}

}  // namespace

Machine::Machine(std::string name) : name_(std::move(name)) {
    const ScopedNetns fresh;
    fd_ = this_network();
}

Machine::Inside::Inside(int machine) : home_(this_network()) {
    if (::setns(machine, CLONE_NEWNET) != 0)
        throw std::runtime_error(std::string("cannot enter a machine: ") + std::strerror(errno));
}

Machine::Inside::~Inside() {
    if (::setns(home_.get(), CLONE_NEWNET) != 0) std::terminate();  // others would run inside
}

std::string Machine::path() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_.get());
}

std::string Machine::run(const std::vector<std::string>& argv) const {
    const auto inside = enter();
    return run_program(argv);
}

std::string Machine::ip(const std::string& words) const {
    std::vector<std::string> argv{"ip"};
    std::istringstream stream(words);
    for (std::string word; stream >> word;) argv.push_back(word);
    return run(argv);
}

void Machine::sysctl(const std::string& name, const std::string& value) const {
    const auto inside = enter();
    ScopedNetns::set(name, value);
}

void Machine::wire(const std::string& port, const Machine& other,
                   const std::string& other_port) const {
    ip("link add " + port + " type veth peer name " + other_port + " netns " + other.path());
    ip("link set " + port + " up");
    other.ip("link set " + other_port + " up");
}

Daemon::Daemon(const Machine& machine, const std::filesystem::path& root,
               const std::vector<std::string>& argv)
    : child_(start_on(machine, daemon_words(root, argv))) {}

void Daemon::kill() {
    child_.signal(SIGKILL);  // its namespace ends with it
    if (!child_.wait_exit()) throw std::runtime_error("a daemon outlives SIGKILL");
}

void Daemon::terminate() {
    const auto child_of = [](pid_t parent) {
        const std::string pid = std::to_string(parent);
        return std::stoi(read_file("/proc/" + pid + "/task/" + pid + "/children"));
    };
    const pid_t shell = child_of(child_.pid());  // the only child of unshare
    ::kill(child_of(shell), SIGTERM);
    if (!child_.wait_exit()) throw std::runtime_error("a daemon outlives SIGTERM");
}

std::string run_in(const Machine& machine, const std::filesystem::path& root,
                   const std::vector<std::string>& argv) {
    return machine.run(words_of(root, {}, argv));
}

bool Flow::lives() {
    return socket.send("ping", promptly) && socket.receive_text(4, promptly) == "ping";
}

Site::Site(int balancers_wanted) {
    router.sysctl("net/ipv4/ip_forward", "1");
    router.ip("link add lan type bridge");
    router.ip("link set lan up");
    router.ip("address add 198.51.100.1/24 dev lan");
    router.wire("clients", client, "eth0");
    router.ip("address add 192.0.2.1/24 dev clients");
    client.ip("address add 192.0.2.2/24 dev eth0");
    client.ip("route add default via 192.0.2.1");
    client.ip("route add local 10.1.0.0/16 dev lo");  // 65,536 clients on one machine
    router.ip("route add 10.1.0.0/16 via 192.0.2.2");

    const auto attach = [this](const Machine& machine, int number) {
        router.wire(machine.name(), machine, "eth0");
        router.ip("link set " + machine.name() + " master lan");
        machine.ip("address add 198.51.100." + std::to_string(number) + "/24 dev eth0");
        machine.ip("route add default via 198.51.100.1");
    };
    for (int i = 1; i <= balancers_wanted; ++i)
        attach(balancers.emplace_back("lb" + std::to_string(i)), 10 + i);
    for (int i = 1; i <= 3; ++i) {
        const std::string name = "app" + std::to_string(i);
        attach(apps_.emplace_back(name), 20 + i);
        const auto inside = apps_.back().enter();
        servers_.push_back(std::make_unique<ChaosBackend>(
            [name](Socket& socket, const ChaosBackend& self) {
                std::string peer = Address::peer_of(socket.fd()).text();
                peer = peer.substr(0, peer.rfind(':'));  // nothing if it has gone already
                peer.resize(16, ' ');
                peer.insert(0, name + " ");
                scripts::greet(peer)(socket, self);
            },
            "198.51.100.2" + std::to_string(i) + ":8080"));
    }
}

std::unique_ptr<Flow> Site::connect(const std::string& to, const std::string& source,
                                    const std::string& first_bytes, milliseconds limit) const {
    const auto inside = client.enter();
    auto socket = Socket::connect(Address::parse(to), {.source = source + ":0"}, limit);
    if (!socket || !socket->send(first_bytes, limit)) return nullptr;
    constexpr std::size_t greeting = 21;  // "app1 198.51.100.11   "
    const std::string text = socket->receive_text(greeting, limit);
    if (text.size() != greeting) return nullptr;
    return std::make_unique<Flow>(
        Flow{std::move(*socket), text.substr(0, 4), text.substr(5, text.find(' ', 5) - 5)});
}

void begin_stop(const ProxyProcess& proxy) {
    proxy.signal(SIGTERM);
    wait_for([&] { return !proxy.running() || proxy.errors().contains("; still accepting"); });
}

std::string deploy_file(const std::string& name) {
    std::string text = read_file(std::filesystem::path(PENSTOCK_DEPLOY) / name);
    if (text.empty()) throw std::runtime_error("deploy/" + name + " is not there");
    return text;
}

void install_as_told(const std::filesystem::path& root, const std::string& folder) {
    const std::filesystem::path from = std::filesystem::path(PENSTOCK_DEPLOY) / folder;
    std::istringstream lines(deploy_file(folder + "/README.md"));
    std::size_t installed = 0;
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("install -")) continue;
        std::istringstream stream(line);
        std::vector<std::string> argv{std::istream_iterator<std::string>(stream), {}};
        argv.back() = root.string() + argv.back();
        argv[argv.size() - 2] = (from / argv[argv.size() - 2]).string();
        argv.insert(argv.begin() + 1, "-D");
        run_program(argv);
        ++installed;
    }
    if (installed == 0) throw std::runtime_error("no line of the README begins with install");
}

}  // namespace penstock::test
