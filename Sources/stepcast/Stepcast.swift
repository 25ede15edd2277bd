import ArgumentParser

@main
struct Stepcast: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stepcast",
        abstract: "Forecast what a vLLM deployment will do, without a GPU.")
}
