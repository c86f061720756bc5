// Stands in for libFuzzer where it is not built in: gives the target every file of the folders
// named on the command line, and every prefix of each, since parsers break at cut-off input first.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t most_prefixes = 512;

std::vector<std::uint8_t> read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void run(const std::vector<std::uint8_t>& input) {
    const std::size_t step = input.size() / most_prefixes + 1;
    for (std::size_t size = 0; size < input.size(); size += step) {
        // A copy of exactly this size: a sanitizer then sees every read beyond the end.
        const std::vector<std::uint8_t> prefix(input.begin(),
                                               input.begin() + static_cast<std::ptrdiff_t>(size));
        LLVMFuzzerTestOneInput(prefix.data(), prefix.size());
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t inputs = 0;
    for (int i = 1; i < argc; ++i) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
            if (!entry.is_regular_file()) continue;
            std::fprintf(stderr, "%s\n", entry.path().c_str());  // names the culprit of a crash
            run(read(entry.path()));
            ++inputs;
        }
    }
    std::printf("%zu inputs\n", inputs);
    return inputs == 0 ? 1 : 0;  // an empty corpus tests nothing
}
