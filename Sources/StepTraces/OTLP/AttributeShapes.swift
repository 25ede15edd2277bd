#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// How an attribute's value is written.
enum AttributeForm: UInt8 {
    /// `"intValue":"` digits `"}}`
    case quotedInteger
    /// `"doubleValue":` number `}}`
    case number
    /// `"stringValue":"` text `"}}`
    case text

    /// What follows the value.
    var suffix: StaticString { self == .number ? "}}" : "\"}}" }
}

/// Texts that attributes began with, such as `{"key":"step.id","value":{"intValue":"`, each with the one that
/// followed it last time.
///
/// Exporters write the attributes of an event in the same order every time, so comparing with the text expected
/// next replaces most of the parsing. An attribute that is equal up to its value has the same key and type, so
/// nothing is guessed.
struct AttributeShapes: ~Copyable {
    private struct Shape {
        var length = 0
        var field = EventField.other
        var form = AttributeForm.text
        var successor = -1
    }

    static let textCapacity = 128
    private static let capacity = 256
    private let texts: UnsafeMutableRawPointer
    private let shapes: UnsafeMutablePointer<Shape>
    private var count = 0

    init() {
        texts = .allocate(byteCount: Self.capacity * Self.textCapacity, alignment: 16)
        shapes = .allocate(capacity: Self.capacity)
        shapes.initialize(repeating: Shape(), count: Self.capacity)
    }

    deinit {
        texts.deallocate()
        shapes.deallocate()
    }

    /// The shape that followed `shape` last time, if the bytes at `position` begin with its text.
    /// - Returns: the shape, -1 when it does not fit.
    @inline(__always)
    func expected(after shape: Int, in bytes: UnsafeRawBufferPointer, at position: Int) -> Int {
        let candidate = shapes[shape].successor
        guard candidate >= 0 else { return -1 }
        let length = shapes[candidate].length
        guard bytes.count &- position >= length,
            memcmp(bytes.baseAddress! + position, texts + candidate &* Self.textCapacity, length) == 0
        else { return -1 }
        return candidate
    }

    @inline(__always) func length(_ shape: Int) -> Int { shapes[shape].length }
    @inline(__always) func field(_ shape: Int) -> EventField { shapes[shape].field }
    @inline(__always) func form(_ shape: Int) -> AttributeForm { shapes[shape].form }

    /// Remembers that an attribute with this beginning followed `previous`.
    /// - Returns: its shape; `previous` when there is no room for one more.
    mutating func learn(
        _ text: UnsafeRawBufferPointer, field: EventField, form: AttributeForm, after previous: Int
    ) -> Int {
        guard text.count <= Self.textCapacity, text.count > 0 else { return previous }
        for shape in 1..<max(1, count)
        where shapes[shape].length == text.count
            && memcmp(text.baseAddress!, texts + shape * Self.textCapacity, text.count) == 0
        {
            shapes[previous].successor = shape
            return shape
        }
        if count == 0 { count = 1 }  // Shape 0 stands for the beginning of an event.
        guard count < Self.capacity else { return previous }
        let shape = count
        count += 1
        shapes[shape] = Shape(length: text.count, field: field, form: form)
        (texts + shape * Self.textCapacity).copyMemory(from: text.baseAddress!, byteCount: text.count)
        shapes[previous].successor = shape
        return shape
    }
}
