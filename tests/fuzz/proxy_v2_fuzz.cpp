// Any bytes are read in any pieces with one result; a header that was read is written to bytes that
// are read to the same, but for what LOCAL leaves out.
#include "tests/fuzz/proxy_reading.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace penstock::fuzz;
    constexpr pp::Accepts only_v2{.v1 = false, .v2 = true};
    const auto reading = read_in_pieces(std::as_bytes(std::span(data, size)), only_v2);
    if (reading.status != pp::Reading::Status::complete) return 0;
    require(reading.version == pp::Version::v2, "another version\n");
    require(reading.length <= pp::longest_v2, "longer than a header may be\n");
    require(reading.header.source.empty() == reading.header.destination.empty(),
            "one address alone\n");
    require(!reading.header.local || reading.header.source.empty(), "LOCAL with an address\n");
    for (const auto& tlv : reading.header.tlvs)
        require(tlv.type != pp::tlv_crc32c && tlv.type != pp::tlv_noop, "a TLV of the header's\n");
    const auto written = pp::write(pp::Version::v2, reading.header, true);
    const auto again = pp::read(std::as_bytes(std::span(written)), only_v2);
    require(again.status == pp::Reading::Status::complete, "what was written is not read\n");
    require(again.length == written.size(), "not all that was written is the header\n");
    auto expected = reading.header;
    expected.local = expected.source.empty();  // nothing to tell: the sender speaks for itself
    // The checksum, and IPv4 addresses that IPv6 ones stood for, need not leave room for all.
    require(again.header.tlvs.size() <= expected.tlvs.size(), "TLVs from nowhere\n");
    if (written.size() + 64 < pp::longest_v2)
        require(again.header == expected, "what was written is read as something else\n");
    return 0;
}
