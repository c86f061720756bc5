#include "tests/deploy/contained.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/access_log.hpp"

namespace penstock::test {

namespace fs = std::filesystem;

namespace {

bool write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text << std::flush;
    return static_cast<bool>(file);
}

/// Environment variables of the sanitizers go on into the container.
void add_sanitizers(std::vector<std::string>& argv) {
    if (!sanitized) return;
    // The search for leaks traces its own process, which one without any right may not.
    argv.insert(argv.end(), {"ASAN_OPTIONS=detect_leaks=0", "UBSAN_OPTIONS=print_stacktrace=1"});
}

/// The first child of a process; -1 while there is none.
pid_t child_of(pid_t parent) {
    const auto task = "/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent);
    std::istringstream list(read_file(task + "/children"));
    pid_t child = -1;
    list >> child;
    return list ? child : -1;
}

}  // namespace

Cgroup::Cgroup(const ContainerLimits& limits) {
    const std::string root = "/sys/fs/cgroup";
    try {
        if (fs::exists(root + "/cgroup.controllers")) {
            // Where they are passed on already, or may not be, the files of the limits tell.
            write_file(root + "/cgroup.subtree_control", "+memory +pids");
            make(root, {{"memory.max", limits.memory}, {"pids.max", limits.processes}});
        } else {
            make(root + "/memory", {{"memory.limit_in_bytes", limits.memory}});
            make(root + "/pids", {{"pids.max", limits.processes}});
        }
    } catch (...) {
        remove();
        throw;
    }
}

void Cgroup::make(const std::string& hierarchy,
                  const std::map<std::string, std::uint64_t>& limits) {
    const auto group = hierarchy + "/penstock-test-" + std::to_string(::getpid());
    std::error_code error;
    fs::create_directory(group, error);
    if (error)
        throw std::runtime_error("this machine lets nobody make a cgroup: " + group + ": " +
                                 error.message());
    groups_.push_back(group);
    for (const auto& [file, limit] : limits)
        if (!write_file(group + "/" + file, std::to_string(limit)))
            throw std::runtime_error("cannot set the limit " + group + "/" + file);
}

void Cgroup::remove() {
    // Those who have ended leave it a moment later.
    for (const auto& group : groups_) wait_for([&] { return ::rmdir(group.c_str()) == 0; }, 5s);
}

Cgroup::~Cgroup() { remove(); }

std::vector<std::string> Cgroup::members() const {
    std::vector<std::string> files;
    for (const auto& group : groups_) files.push_back(group + "/cgroup.procs");
    return files;
}

std::string Cgroup::content(const std::string& file) const {
    std::string text;
    for (const auto& group : groups_)
        if (fs::exists(group + "/" + file)) text += read_file(group + "/" + file);
    return text;
}

Container::Container(const std::vector<std::string>& argv, const ContainerOptions& options)
    : options_(options) {
    std::vector<std::string> words{"env", "--ignore-environment",
                                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    add_sanitizers(words);
    for (const auto& [name, value] : options.environment) words.push_back(name + "=" + value);
    words.insert(words.end(),
                 {"unshare", "--mount", "--pid", "--fork", "--kill-child", PENSTOCK_TEST_CONTAINED,
                  options.root, std::to_string(options.uid), std::to_string(options.gid)});
    for (const auto& at : options.tmpfs) words.insert(words.end(), {"--tmpfs", at});
    for (const auto& [from, to] : options.mounts)
        words.insert(words.end(), {"--mount", from + ":" + to});
    if (options.cgroup != nullptr) {
        words.insert(words.end(), {"--mount", "/sys/fs/cgroup:/sys/fs/cgroup"});
        for (const auto& file : options.cgroup->members())
            words.insert(words.end(), {"--cgroup", file});
    }
    if (options.descriptors > 0)
        words.insert(words.end(), {"--descriptors", std::to_string(options.descriptors)});
    words.emplace_back("--");
    words.insert(words.end(), argv.begin(), argv.end());
    process_ = std::make_unique<ChildProcess>(words);
    const bool started = wait_for([&] {
        init_ = child_of(process_->pid());
        return init_ > 0 || !process_->running();
    });
    if (!started || init_ < 0) throw std::runtime_error("no container: " + errors());
}

Container::~Container() {
    // Its number is its own as long as its parent, unshare, has not waited for it.
    if (!process_->running()) return;
    signal(SIGKILL);
    process_->wait_exit();
}

void Container::wait_ready() {
    wait_for([this] { return output().contains("\nready\n") || !process_->running(); });
    if (!output().contains("\nready\n"))
        throw std::runtime_error("not ready in its container:\n" + output() + errors());
}

void Container::signal(int number) const { ::kill(init_, number); }

Finished Container::exec(const std::vector<std::string>& argv, milliseconds limit) const {
    std::vector<std::string> words{"nsenter",
                                   "--target=" + std::to_string(init_),
                                   "--mount",
                                   "--pid",
                                   "--root",
                                   "--wd",
                                   "--setuid=" + std::to_string(options_.uid),
                                   "--setgid=" + std::to_string(options_.gid)};
    words.insert(words.end(), argv.begin(), argv.end());
    SpawnOptions spawn{.environment = options_.environment};
    if (sanitized) spawn.environment["ASAN_OPTIONS"] = "detect_leaks=0";
    ChildProcess command(words, spawn);
    Finished result;
    const auto status = command.wait_exit(limit);
    result.exit_status = !status ? -2 : WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
    result.output = command.output();
    result.errors = command.errors();
    return result;
}

std::string Container::status(const std::string& key) const {
    std::ifstream file("/proc/" + std::to_string(init_) + "/status");
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(key + ":")) continue;
        const auto value = line.find_first_not_of("\t ", key.size() + 1);
        return value == std::string::npos ? "" : line.substr(value);
    }
    return "no " + key;
}

std::string Container::inside(const std::string& path) const {
    return "/proc/" + std::to_string(init_) + "/root" + path;
}

const std::string& image_root() {
    static const TempDir directory;
    static const std::string root = [] {
        auto made = directory.path("root");
        run_program({PENSTOCK_DEPLOY "/container/make_root.sh", penstock_binary(), made});
        // Whoever is inside is nobody that may enter the test's own directory.
        fs::permissions(directory.path(), fs::perms(0755));
        return made;
    }();
    return root;
}

std::string yaml_to_json(const std::string& yaml) {
    const TempDir directory;
    const auto file = directory.write("all.yaml", yaml);
    return run_program({"python3", "-c",
                        "import json, sys, yaml; "
                        "json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)",
                        file});
}

}  // namespace penstock::test
