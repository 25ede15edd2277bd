// swift-tools-version: 6.2
import PackageDescription

/// Settings of every target of ours: warnings are errors, so that none is ever got used to.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "stepcast",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "stepcast", targets: ["stepcast"]),
        // Everything an embedding program imports, module by module.
        .library(
            name: "Stepcast",
            targets: [
                "ServingCore", "ByteStreams", "Catalog", "Workload", "Engine", "LatencyOracle", "Simulation",
                "Scenarios", "StepTraces", "OracleTraining", "Validation", "Reports",
                "Sweep",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        // Lowest first: a target imports only what stands above it.
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(
            name: "CZstd", pkgConfig: "libzstd",
            providers: [.apt(["libzstd-dev"])]),
        .target(name: "ServingCore", swiftSettings: strict),
        .target(name: "ByteStreams", dependencies: ["CZstd", "ServingCore"], swiftSettings: strict),
        .target(
            name: "Catalog",
            dependencies: ["ServingCore", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(
            name: "Workload",
            dependencies: ["ServingCore", "ByteStreams", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(name: "Engine", dependencies: ["ServingCore"], swiftSettings: strict),
        .target(name: "LatencyOracle", dependencies: ["ServingCore"], swiftSettings: strict),
        .target(
            name: "Simulation",
            dependencies: [
                "ServingCore", "Workload", "Engine", "LatencyOracle",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict),
        .target(
            name: "Scenarios",
            dependencies: [
                "ServingCore", "ByteStreams", "Catalog", "Workload", "Engine", "LatencyOracle", "Simulation",
            ],
            swiftSettings: strict),
        .target(
            name: "StepTraces", dependencies: ["ServingCore", "ByteStreams", "LatencyOracle"],
            swiftSettings: strict),
        .target(
            name: "Reports", dependencies: ["ServingCore", "ByteStreams", "Simulation"],
            swiftSettings: strict),
        .target(
            name: "Sweep",
            dependencies: [
                "ServingCore", "ByteStreams", "Catalog", "Workload", "LatencyOracle", "Simulation",
                "Scenarios", "Reports",
            ],
            swiftSettings: strict),
        .target(name: "LinearAlgebra", dependencies: ["COpenBLAS"], swiftSettings: strict),
        .target(
            name: "OracleTraining",
            dependencies: [
                "ServingCore", "ByteStreams", "Catalog", "LatencyOracle", "StepTraces", "LinearAlgebra",
            ],
            swiftSettings: strict),
        .target(
            name: "Validation",
            dependencies: [
                "ServingCore", "ByteStreams", "Catalog", "Workload", "LatencyOracle", "Simulation",
                "Scenarios", "LinearAlgebra", "OracleTraining",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "stepcast",
            dependencies: [
                "ServingCore", "ByteStreams", "Catalog", "Workload", "Engine", "LatencyOracle",
                "Simulation", "Scenarios", "StepTraces", "OracleTraining", "Validation", "Reports",
                "Sweep",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(name: "ServingCoreTests", dependencies: ["ServingCore"], swiftSettings: strict),
        .testTarget(
            name: "ByteStreamsTests", dependencies: ["ByteStreams", "CZstd", "ServingCore"],
            swiftSettings: strict),
        .testTarget(name: "CatalogTests", dependencies: ["Catalog"], swiftSettings: strict),
        .testTarget(
            name: "WorkloadTests", dependencies: ["Workload", "ByteStreams"], swiftSettings: strict),
        .testTarget(
            name: "ScenariosTests",
            dependencies: ["Scenarios", "Catalog", "LatencyOracle", "Simulation", "ServingCore"],
            swiftSettings: strict),
        .testTarget(name: "EngineTests", dependencies: ["Engine", "ServingCore"], swiftSettings: strict),
        .testTarget(
            name: "LatencyOracleTests", dependencies: ["LatencyOracle"], swiftSettings: strict),
        .testTarget(
            name: "SimulationTests",
            dependencies: ["Simulation", "ServingCore", "Workload", "Engine", "LatencyOracle"],
            swiftSettings: strict),
        .testTarget(
            name: "ReportsTests", dependencies: ["Reports", "Simulation", "ServingCore", "ByteStreams"],
            swiftSettings: strict),
        .testTarget(
            name: "ValidationTests",
            dependencies: [
                "Validation", "Catalog", "LatencyOracle", "LinearAlgebra", "Reports", "Scenarios",
                "ServingCore", "Simulation", "Workload",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SweepTests",
            dependencies: ["Sweep", "Scenarios", "Simulation", "Workload", "Catalog", "ServingCore"],
            swiftSettings: strict),
        .testTarget(name: "DocumentationTests", swiftSettings: strict),
        .testTarget(
            name: "StepTracesTests", dependencies: ["StepTraces", "ByteStreams", "CZstd", "ServingCore"],
            swiftSettings: strict),
        .testTarget(
            name: "SimulatedTraceTests",
            dependencies: [
                "Scenarios", "Simulation", "StepTraces", "LatencyOracle", "Catalog", "ServingCore",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "OracleTrainingTests",
            dependencies: [
                "OracleTraining", "LinearAlgebra", "LatencyOracle", "ByteStreams", "StepTraces", "Catalog",
            ],
            swiftSettings: strict),
    ]
)

// Benchmarks of what has package access only; left out unless asked for, so that `./test` doesn't build them.
if Context.environment["STEPCAST_BENCHMARKS"] != nil {
    package.targets += [
        .executableTarget(
            name: "quantile-benchmark", dependencies: ["OracleTraining", "ServingCore"],
            path: "Benchmarks/QuantileBenchmark", swiftSettings: strict),
        .executableTarget(
            name: "ensemble-benchmark",
            dependencies: ["OracleTraining", "LatencyOracle", "Catalog", "StepTraces", "ServingCore"],
            path: "Benchmarks/EnsembleBenchmark", swiftSettings: strict),
    ]
}
