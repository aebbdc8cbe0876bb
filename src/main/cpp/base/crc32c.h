// CRC-32C (Castagnoli), the checksum of manifests and packed images; Java has the same one as java.util.zip.CRC32C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chorale {

// The checksum of `previous`'s bytes followed by these; 0 is the checksum of nothing.
uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t previous = 0);

// The same without the processor's instruction: what a machine that lacks it runs.
uint32_t Crc32cPortable(std::span<const uint8_t> bytes, uint32_t previous = 0);

// The checksum of bytes that contain their own checksum (4 bytes at crc_at), which counts as zero.
uint32_t Crc32cWithout(std::span<const uint8_t> bytes, size_t crc_at);

}  // namespace chorale
