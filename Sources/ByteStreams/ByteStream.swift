import CZstd
import ServingCore

/// A file's bytes, decompressed on the way, in constant memory.
///
/// The container is recognised by content, never by name:
/// - zstd: one or more frames, skippable frames among them, checksums verified;
/// - framed: messages of a big-endian 32-bit length and that many bytes, each a zstd frame or an OTLP protobuf
///   message (what the OpenTelemetry collector's `file` exporter writes with compression or `format: proto`);
/// - plain: everything else.
public struct ByteStream: ~Copyable {
    /// How the bytes are wrapped.
    public enum Container: String, Sendable {
        /// As they are.
        case plain
        /// One zstd stream of any number of frames.
        case zstd
        /// Length-prefixed messages.
        case framed
    }

    /// What one call of `read` found.
    public enum Chunk: Equatable, Sendable {
        /// That many bytes, all of one frame.
        case bytes(Int)
        /// The end of a frame (zstd) or message (framed).
        case frameEnd
        /// The message cannot be decoded; all its bytes delivered since the last `frameEnd` are void. Framed only:
        /// elsewhere damage is thrown.
        case frameDamaged
        /// The end of the file.
        case end
    }

    /// How the bytes are wrapped.
    public let container: Container
    /// What messages call the file.
    public var name: String { source.name }
    /// Whole frames or messages read so far, skippable ones counted too.
    public private(set) var completeFrames = 0
    /// Messages that could not be decoded. Framed only.
    public private(set) var damagedFrames = 0
    /// Whether the file ends in the middle of a frame or message, as when its writer was killed.
    public private(set) var isTruncated = false

    private var source: InputSource
    private let input: UnsafeMutableRawBufferPointer
    private var inputStart = 0
    private var inputEnd = 0
    private var sourceEnded = false
    private let decoder: OpaquePointer?
    private var insideFrame = false
    /// Stored bytes of the current message that have not been decoded. Framed only.
    private var messageRemaining = 0
    private var insideMessage = false
    private var messageIsCompressed = false
    /// The last call filled its output, so the decoder may hold more without more input.
    private var decoderMayHoldMore = false

    private static let zstdMagic: UInt32 = 0xFD2F_B528
    private static let inputCapacity = 128 << 10

    /// Opens a file and recognises its container.
    /// - Throws: `InvalidInput` when it cannot be opened or its first message cannot be whole.
    public init(path: String) throws { try self.init(source: InputSource(path: path)) }

    /// Reads `bytes` as if they were a file called `name`.
    /// - Throws: `InvalidInput` when the first message cannot be whole.
    public init(bytes: [UInt8], name: String) throws {
        try self.init(source: InputSource(bytes: bytes, name: name))
    }

    private init(source: consuming InputSource) throws {
        self.source = source
        let storage = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.inputCapacity, alignment: 16)
        input = storage
        do {
            while inputEnd < 8 {
                let count = try self.source.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: storage[inputEnd...]))
                if count == 0 { break }
                inputEnd += count
            }
            container = try Self.recognise(
                UnsafeRawBufferPointer(rebasing: storage[..<inputEnd]), remaining: self.source.remaining,
                name: self.source.name)
        } catch {
            storage.deallocate()
            throw error
        }
        decoder = container == .plain ? nil : ZSTD_createDCtx()
    }

    deinit {
        input.deallocate()
        if let decoder { ZSTD_freeDCtx(decoder) }
    }

    private static func recognise(
        _ head: UnsafeRawBufferPointer, remaining: Int?, name: String
    ) throws -> Container {
        guard head.count >= 4 else { return .plain }
        let first = UInt32(littleEndian: head.loadUnaligned(as: UInt32.self))
        if first == zstdMagic || first & 0xFFFF_FFF0 == 0x184D_2A50 { return .zstd }
        let length = Int(first.byteSwapped)
        guard head.count >= 5 else { return try refuseBinary(head, name: name) }
        let payload =
            head.count >= 8 ? UInt32(littleEndian: head.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) : 0
        let compressed = payload == zstdMagic
        // Protobuf: field 1 (resource_spans) with a length. A text file would have to be 150 MB of one odd shape.
        let protobuf = head[4] == 0x0A && head[0] < 0x09
        guard compressed || protobuf else { return try refuseBinary(head, name: name) }
        if let remaining, length > remaining + head.count - 4 {
            guard compressed else { return try refuseBinary(head, name: name) }
            throw InvalidInput(
                source: name,
                "is damaged: its first message claims \(length) bytes, \(remaining + head.count - 4) follow")
        }
        return .framed
    }

    /// Text never holds these bytes, so a file that starts with one is in no form that is read here.
    private static func refuseBinary(_ head: UnsafeRawBufferPointer, name: String) throws -> Container {
        for byte in head.prefix(8) where byte < 0x09 || (byte > 0x0D && byte < 0x20) || byte >= 0xF8 {
            throw InvalidInput(
                source: name, "has an unknown format",
                accepted: "text, zstd, or length-prefixed messages of zstd or OTLP protobuf")
        }
        return .plain
    }

    /// Reads decompressed bytes; never across the end of a frame or message.
    /// - Throws: `InvalidInput` when a zstd stream is damaged (all frames before `completeFrames` are sound).
    public mutating func read(into output: UnsafeMutableRawBufferPointer) throws -> Chunk {
        switch container {
        case .plain: try readPlain(into: output)
        case .zstd: try readZstd(into: output)
        case .framed: try readFramed(into: output)
        }
    }

    private mutating func fillInput() throws {
        guard inputStart == inputEnd, !sourceEnded else { return }
        inputStart = 0
        inputEnd = try source.read(into: input)
        if inputEnd == 0 { sourceEnded = true }
    }

    private mutating func readPlain(into output: UnsafeMutableRawBufferPointer) throws -> Chunk {
        if inputStart < inputEnd {
            let count = min(output.count, inputEnd - inputStart)
            output.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: input[inputStart..<inputStart + count]))
            inputStart += count
            return .bytes(count)
        }
        let count = try source.read(into: output)
        return count == 0 ? .end : .bytes(count)
    }

    private mutating func readZstd(into output: UnsafeMutableRawBufferPointer) throws -> Chunk {
        while true {
            if !decoderMayHoldMore {
                try fillInput()
                if sourceEnded {
                    isTruncated = insideFrame
                    return .end
                }
            }
            let step = decode(into: output, limit: inputEnd - inputStart)
            if step.failed {
                throw InvalidInput(
                    source: source.name,
                    "is damaged in zstd frame \(completeFrames + 1): "
                        + String(cString: ZSTD_getErrorName(step.code)))
            }
            if step.produced > 0 {
                // The end of the frame, if this was it, is reported by the next call.
                return .bytes(step.produced)
            }
            if step.frameEnded { return .frameEnd }
        }
    }

    private var frameEndPending = false

    private struct DecodeStep {
        var produced = 0
        var code = 0
        var failed = false
        var frameEnded = false
    }

    private mutating func decode(
        into output: UnsafeMutableRawBufferPointer, limit: Int
    ) -> DecodeStep {
        if frameEndPending {
            frameEndPending = false
            return DecodeStep(frameEnded: true)
        }
        var source = ZSTD_inBuffer(
            src: UnsafeRawPointer(input.baseAddress!) + inputStart, size: limit, pos: 0)
        var destination = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let code = ZSTD_decompressStream(decoder, &destination, &source)
        inputStart += source.pos
        if messageRemaining > 0 { messageRemaining -= source.pos }
        if source.pos > 0 { insideFrame = true }
        var step = DecodeStep(produced: destination.pos, code: code)
        if ZSTD_isError(code) != 0 {
            step.failed = true
            decoderMayHoldMore = false
            return step
        }
        decoderMayHoldMore = destination.pos == destination.size
        if code == 0, insideFrame {
            insideFrame = false
            decoderMayHoldMore = false
            completeFrames += 1
            if destination.pos > 0 {
                frameEndPending = true
                decoderMayHoldMore = true
            } else {
                step.frameEnded = true
            }
        } else if source.pos == 0, destination.pos == 0 {
            decoderMayHoldMore = false
        }
        return step
    }

    private mutating func readFramed(into output: UnsafeMutableRawBufferPointer) throws -> Chunk {
        while true {
            if !insideMessage {
                guard try beginMessage() else { return .end }
            }
            if messageRemaining == 0, !decoderMayHoldMore {
                insideMessage = false
                if insideFrame {
                    resetDecoder()
                    damagedFrames += 1
                    return .frameDamaged
                }
                if !messageIsCompressed { completeFrames += 1 }
                return .frameEnd
            }
            if messageRemaining > 0 || !decoderMayHoldMore {
                try fillInput()
                if sourceEnded {
                    isTruncated = true
                    insideMessage = false
                    resetDecoder()
                    return .frameDamaged
                }
            }
            let available = min(messageRemaining, inputEnd - inputStart)
            if !messageIsCompressed {
                let count = min(available, output.count)
                output.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: input[inputStart..<inputStart + count]))
                inputStart += count
                messageRemaining -= count
                return .bytes(count)
            }
            let step = decode(into: output, limit: available)
            if step.failed {
                resetDecoder()
                try skipMessage()
                damagedFrames += 1
                return .frameDamaged
            }
            if step.produced > 0 { return .bytes(step.produced) }
        }
    }

    private mutating func resetDecoder() {
        ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only)
        insideFrame = false
        frameEndPending = false
        decoderMayHoldMore = false
    }

    private mutating func skipMessage() throws {
        while messageRemaining > 0 {
            try fillInput()
            if sourceEnded {
                isTruncated = true
                break
            }
            let count = min(messageRemaining, inputEnd - inputStart)
            inputStart += count
            messageRemaining -= count
        }
        messageRemaining = 0
        insideMessage = false
    }

    /// Reads the next message's length and looks at its first bytes.
    /// - Returns: false at the end of the file.
    private mutating func beginMessage() throws -> Bool {
        while true {
            guard try gather(4) else {
                isTruncated = isTruncated || inputStart < inputEnd
                return false
            }
            let length = Int(
                UInt32(bigEndian: input.loadUnaligned(fromByteOffset: inputStart, as: UInt32.self)))
            inputStart += 4
            if length == 0 { continue }
            if let remaining = source.remaining, length > remaining + inputEnd - inputStart {
                isTruncated = true
                inputStart = inputEnd
                sourceEnded = true
                return false
            }
            messageIsCompressed = false
            if length >= 4, try gather(4) {
                messageIsCompressed =
                    UInt32(littleEndian: input.loadUnaligned(fromByteOffset: inputStart, as: UInt32.self))
                    == Self.zstdMagic
            }
            messageRemaining = length
            insideMessage = true
            return true
        }
    }

    /// Makes sure that `count` stored bytes stand in the input buffer.
    /// - Returns: false when the file ends before.
    private mutating func gather(_ count: Int) throws -> Bool {
        if inputEnd - inputStart >= count { return true }
        let left = inputEnd - inputStart
        if left > 0 {
            input.baseAddress!.copyMemory(from: input.baseAddress! + inputStart, byteCount: left)
        }
        inputStart = 0
        inputEnd = left
        while inputEnd < count {
            let read = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: input[inputEnd...]))
            if read == 0 {
                sourceEnded = inputEnd == 0
                return false
            }
            inputEnd += read
        }
        return true
    }
}
