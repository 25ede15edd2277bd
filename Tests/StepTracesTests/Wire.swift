import CZstd

/// Protobuf encoding, enough for OTLP.
enum Wire {
    static func varint(_ value: UInt64) -> [UInt8] {
        var value = value
        var bytes: [UInt8] = []
        while value >= 0x80 {
            bytes.append(UInt8(value & 0x7F) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }

    static func field(_ number: UInt64, _ content: [UInt8]) -> [UInt8] {
        varint(number << 3 | 2) + varint(UInt64(content.count)) + content
    }

    static func field(_ number: UInt64, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

    static func fixed(_ number: UInt64, _ value: UInt64) -> [UInt8] {
        varint(number << 3 | 1) + withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    static func attribute(_ key: String, _ value: OTLP.Value) -> [UInt8] {
        let content: [UInt8] =
            switch value {
            case .whole(let value): varint(3 << 3) + varint(UInt64(bitPattern: value))
            case .real(let value): fixed(4, value.bitPattern)
            case .text(let value): field(1, value)
            }
        return field(1, key) + field(2, content)
    }

    static func request(
        span: String, event: String, time: UInt64, _ attributes: [(String, OTLP.Value)]
    ) -> [UInt8] {
        let event = fixed(1, time) + field(2, event) + attributes.flatMap { field(3, attribute($0.0, $0.1)) }
        let span = field(1, "0123456789abcdef") + field(2, "01234567") + field(5, span) + field(11, event)
        let resource = field(1, attribute("service.name", .text("vllm")))
        return field(1, field(1, resource) + field(2, field(1, field(1, "scope")) + field(2, span)))
    }
}

func zstdFrame(_ bytes: [UInt8]) -> [UInt8] {
    let context = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
    let count = ZSTD_compress2(context, &output, output.count, bytes, bytes.count)
    return Array(output[..<count])
}

func framed(_ messages: [[UInt8]]) -> [UInt8] {
    messages.flatMap { message in
        withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    }
}
