/// Hands out ranges of a growing array and takes them back, by power-of-two size class.
///
/// The caller owns the storage and keeps it at least `end` long. Both operations are O(1).
struct RangeAllocator {
    /// One past the highest offset ever handed out.
    private(set) var end: Int32 = 0
    private var freeOffsets: [[Int32]] = Array(repeating: [], count: 31)

    /// The smallest class whose ranges hold `count` elements.
    static func sizeClass(for count: Int) -> Int {
        count <= 4 ? 2 : Int.bitWidth - (count - 1).leadingZeroBitCount
    }

    /// Offset of a free range of `1 << sizeClass` elements.
    mutating func allocate(sizeClass: Int) -> Int32 {
        if let offset = freeOffsets[sizeClass].popLast() { return offset }
        defer { end += 1 << Int32(sizeClass) }
        return end
    }

    /// Takes a range back.
    mutating func free(_ offset: Int32, sizeClass: Int) {
        freeOffsets[sizeClass].append(offset)
    }
}
