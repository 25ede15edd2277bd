import ArgumentParser
import Foundation
import Reports
import ServingCore

@main
struct Stepcast: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stepcast",
        abstract: "Forecast what a vLLM deployment will do, without a GPU.",
        version: stepcastVersion,
        subcommands: [
            SimulateCommand.self,
            EstimateCommand.self,
            SweepCommand.self,
            ValidateCommand.self,
            CalibrateCommand.self,
            AblateCommand.self,
            TrainCommand.self,
            EvaluateCommand.self,
            PredictCommand.self,
            TransferCommand.self,
            DonorsCommand.self,
            DriftCommand.self,
            InspectCommand.self,
            ConvertCommand.self,
            ScheduleCommand.self,
            ModelsCommand.self,
            GPUsCommand.self,
            WorkloadsCommand.self,
            OraclesCommand.self,
        ])

    /// Runs the command line; every error becomes one line on standard error and the status that belongs to it.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as InvalidInput {
            FileHandle.standardError.write(Data("stepcast: \(error)\n".utf8))
            Foundation.exit(error.kind.exitStatus)
        } catch {
            exit(withError: error)
        }
    }
}

extension InvalidInput.Kind {
    /// Exit status by the conventions of `sysexits.h`.
    var exitStatus: Int32 {
        switch self {
        case .usage: 64
        case .badData: 65
        case .noSuchInput: 66
        case .cannotWrite: 74
        }
    }
}
