package snapshot

import "hash/crc32"

// crcCombine returns the CRC-32 of A followed by B, from those of A and of B and B's length in bytes. A CRC is a
// polynomial modulo crc32.IEEE: putting n bytes after A multiplies A's by x^8n.
func crcCombine(a, b uint32, length int64) uint32 {
	shift := uint32(1) << 31      // the polynomial 1; the highest bit is the lowest power
	power := uint32(1) << 31 >> 8 // x^8, one byte
	for ; length > 0; length >>= 1 {
		if length&1 != 0 {
			shift = crcMultiply(shift, power)
		}
		power = crcMultiply(power, power)
	}
	return crcMultiply(a, shift) ^ b
}

// crcMultiply multiplies two polynomials modulo crc32.IEEE.
func crcMultiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ crc32.IEEE*carry
	}
	return product
}
