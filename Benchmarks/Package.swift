// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who uses Bauta builds it. It needs the internals of the secure sum, so a release
// build needs `-Xswiftc -enable-testing`: see `make bench`.
let package = Package(
  name: "bauta-benchmarks",
  dependencies: [
    // By name, because the folder of a clone may have any.
    .package(name: "bauta", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
  ],
  targets: [
    .executableTarget(
      name: "bauta-benchmarks",
      dependencies: [
        .product(name: "Cryptography", package: "bauta"),
        .product(name: "SecureAggregation", package: "bauta"),
        .product(name: "TransparencyLog", package: "bauta"),
        .product(name: "AuditLog", package: "bauta"),
        .product(name: "FederationSimulation", package: "bauta"),
        .product(name: "NoiseSampling", package: "bauta"),
        .product(name: "MutualTLS", package: "bauta"),
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
  ]
)
