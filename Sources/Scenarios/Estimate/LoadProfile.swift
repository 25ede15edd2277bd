import ServingCore
import Workload

/// What a load is on average, piece by piece: all that a closed-form estimate sees of it.
struct LoadProfile: Sendable {
    /// One piece.
    struct Piece: Sendable {
        /// When it begins, seconds after the first arrival.
        var start = 0.0
        /// How long it lasts, seconds.
        var seconds = 0.0
        /// Arrivals in it.
        var requests = 0.0
        /// Sums over its requests: prompt tokens, those found in the prefix cache, output tokens, output tokens after
        /// the first, context lengths over the steps of those, query-key pairs of prefill.
        var promptTokens = 0.0
        var cachedTokens = 0.0
        var outputTokens = 0.0
        var decodeSteps = 0.0
        var decodeContext = 0.0
        var prefillPairs = 0.0
    }

    /// From the first arrival to the last, seconds.
    private(set) var span = 0.0
    private(set) var requests = 0
    var maxConcurrency: Int?
    /// Whether conversations have later turns, whose times are guessed.
    private(set) var hasFollowUps = false

    /// Pieces of a long load are longer than asked for: an estimate has to be quick.
    private static let mostPieces = 2000
    /// Requests looked at; of a longer load the first ones.
    private static let limit = 1_000_000
    /// What a generated token is taken to last where the next turn of a conversation waits for it.
    private static let guessedTokenSeconds = 0.02

    private var items: [Item] = []

    private struct Item {
        var arrival: Ticks
        var promptTokens: Int
        var cachedTokens: Int
        var outputTokens: Int
    }

    /// Draws all requests.
    /// - Parameter usesPrefixCache: whether prompts that begin alike are computed once; nothing is ever evicted here.
    /// - Throws: `InvalidInput` when a request cannot be drawn.
    init(_ stream: RequestStream, usesPrefixCache: Bool, blockSize: Int) throws {
        var stream = stream
        maxConcurrency = stream.maxConcurrency
        var longest: [SegmentID: Int] = [:]
        var request = IncomingRequest()
        func add(_ request: IncomingRequest, to items: inout [Item]) {
            var cached = 0
            if usesPrefixCache {
                for segment in request.sharedSegments {
                    let known = min(longest[segment.segment] ?? 0, segment.tokens)
                    cached += known
                    if known < segment.tokens { break }
                }
                for segment in request.sharedSegments {
                    longest[segment.segment] = max(longest[segment.segment] ?? 0, segment.tokens)
                }
                if let output = request.outputSegment { longest[output] = request.outputTokens }
                // Whole blocks, and never the whole prompt.
                cached = min(cached, request.promptTokens - 1) / blockSize * blockSize
            }
            items.append(
                Item(
                    arrival: request.arrival, promptTokens: request.promptTokens, cachedTokens: cached,
                    outputTokens: request.outputTokens))
        }
        while items.count < Self.limit, try stream.next(&request) {
            add(request, to: &items)
            while request.session >= 0, items.count < Self.limit {
                let seconds = Double(request.outputTokens) * Self.guessedTokenSeconds
                let end = request.arrival.addingReportingOverflow(Ticks(seconds: seconds)).partialValue
                guard stream.followUp(session: request.session, finishedAt: end, &request) else { break }
                hasFollowUps = true
                add(request, to: &items)
            }
        }
        if hasFollowUps { items.sort { $0.arrival < $1.arrival } }
        requests = items.count
        guard let first = items.first, let last = items.last else { return }
        span = (last.arrival - first.arrival).seconds
    }

    /// The load in pieces of about so many seconds; of one piece if it is shorter.
    func pieces(seconds: Double) -> [Piece] {
        guard let first = items.first else { return [] }
        // The last request's gap is as long as the others'.
        let length = span * (Double(items.count) / Double(max(1, items.count - 1)))
        let count = Int(min(max(1, (length / max(seconds, 1e-3)).rounded()), Double(Self.mostPieces)))
        var pieces = (0..<count).map { index in
            var piece = Piece()
            piece.start = length * Double(index) / Double(count)
            piece.seconds = length / Double(count)
            return piece
        }
        for item in items {
            let place = length > 0 ? (item.arrival - first.arrival).seconds / length * Double(count) : 0
            let index = min(count - 1, Int(place))
            let prompt = Double(item.promptTokens)
            let cached = Double(item.cachedTokens)
            let new = prompt - cached
            let steps = Double(item.outputTokens - 1)
            pieces[index].requests += 1
            pieces[index].promptTokens += prompt
            pieces[index].cachedTokens += cached
            pieces[index].outputTokens += Double(item.outputTokens)
            pieces[index].decodeSteps += steps
            // Contexts of prompt + 1 … prompt + steps tokens, the new one included.
            pieces[index].decodeContext += steps * (prompt + (steps + 1) / 2)
            pieces[index].prefillPairs += new * cached + new * (new + 1) / 2
        }
        return pieces
    }
}
