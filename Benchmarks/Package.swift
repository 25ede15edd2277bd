// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that neither `./stepcast` nor `./test` spends time on building it.
let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "stepcast", path: "..")],
    targets: [
        .executableTarget(
            name: "Benchmarks",
            dependencies: [.product(name: "Stepcast", package: "stepcast")],
            swiftSettings: [.treatAllWarnings(as: .error)]),
        .executableTarget(
            name: "workload-benchmark",
            dependencies: [.product(name: "Stepcast", package: "stepcast")],
            path: "WorkloadBenchmark",
            swiftSettings: [.treatAllWarnings(as: .error)]),
    ]
)
