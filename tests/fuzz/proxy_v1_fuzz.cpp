// Any bytes are read in any pieces with one result; a header that was read is written to a line
// that is read to the same addresses.
#include "tests/fuzz/proxy_reading.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace penstock::fuzz;
    constexpr pp::Accepts only_v1{.v1 = true, .v2 = false};
    const auto reading = read_in_pieces(std::as_bytes(std::span(data, size)), only_v1);
    if (reading.status != pp::Reading::Status::complete) return 0;
    require(reading.version == pp::Version::v1, "another version\n");
    require(reading.length <= pp::longest_v1, "longer than a line may be\n");
    require(data[reading.length - 2] == '\r' && data[reading.length - 1] == '\n',
            "a line that does not end\n");
    require(reading.header.tlvs.empty() && !reading.header.local, "more than a line says\n");
    const auto written = pp::write(pp::Version::v1, reading.header, false);
    const auto again = pp::read(std::as_bytes(std::span(written)), only_v1);
    require(again.status == pp::Reading::Status::complete, "what was written is not read\n");
    require(again.length == written.size(), "not all that was written is the header\n");
    require(again.header == reading.header, "what was written is read as something else\n");
    return 0;
}
