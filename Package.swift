// swift-tools-version: 6.2
import PackageDescription

// One configuration serves `make demo` and `make test`: debug, with the optimiser on where the arithmetic is.
let optimized: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]
/// Generated protobuf code is exempt from our warnings only.
let generated: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let grpc: Target.Dependency = .product(name: "GRPCCore", package: "grpc-swift-2")
// On Linux this product re-exports the transport core without any TLS library of its own.
let grpcTransport: Target.Dependency = .product(
  name: "GRPCNIOTransportHTTP2TransportServices", package: "grpc-swift-nio-transport")
let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
  name: "bauta",
  products: [
    .executable(name: "bauta", targets: ["bauta"]),
    .library(name: "Cryptography", targets: ["Cryptography"]),
    .library(name: "SecureAggregation", targets: ["SecureAggregation"]),
    .library(name: "NoiseSampling", targets: ["NoiseSampling"]),
    .library(name: "DifferentialPrivacy", targets: ["DifferentialPrivacy"]),
    .library(name: "FederationSimulation", targets: ["FederationSimulation"]),
    .library(name: "TransparencyLog", targets: ["TransparencyLog"]),
    .library(name: "AuditLog", targets: ["AuditLog"]),
    .library(name: "MutualTLS", targets: ["MutualTLS"]),
    .library(name: "Federation", targets: ["Federation", "FederationClient", "FederationServer"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // System libraries
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),

    // Pure: no network, clock, logger, file of a run
    .target(name: "Cryptography", dependencies: ["CSodium", "COpenSSL"], swiftSettings: strict + optimized),
    .target(name: "SecureAggregation", dependencies: ["Cryptography"], swiftSettings: strict + optimized),
    .target(
      name: "FederationSimulation", dependencies: ["SecureAggregation", "Cryptography"],
      swiftSettings: strict + optimized),
    .target(name: "TransparencyLog", dependencies: ["Cryptography"], swiftSettings: strict + optimized),
    .target(
      name: "AuditLog", dependencies: ["Cryptography", "TransparencyLog", "SecureAggregation"],
      swiftSettings: strict + optimized),
    .target(name: "NoiseSampling", swiftSettings: strict + optimized),
    .target(name: "DifferentialPrivacy", dependencies: ["NoiseSampling"], swiftSettings: strict + optimized),
    .target(name: "Learning", swiftSettings: strict + optimized),
    .target(name: "Training", dependencies: ["Learning", "COpenBLAS"], swiftSettings: strict + optimized),

    // What both sides agree on
    .target(
      name: "Federation",
      dependencies: [
        "Cryptography", "SecureAggregation", "DifferentialPrivacy", "TransparencyLog", "Learning",
        .product(name: "Yams", package: "Yams"),
      ], swiftSettings: strict),
    .target(
      name: "FederationWire",
      dependencies: [
        "Cryptography", "Federation", "SecureAggregation", "TransparencyLog", "AuditLog", "MutualTLS", protobuf,
      ],
      exclude: ["bauta.proto"], swiftSettings: strict),
    .target(
      name: "Storage", dependencies: [.product(name: "GRDB", package: "GRDB.swift")], swiftSettings: strict),
    .target(name: "ServiceControl", dependencies: ["Cryptography"], swiftSettings: strict),
    .target(
      name: "LogService", dependencies: ["AuditLog", "TransparencyLog", "Cryptography", nioHTTP1] + nio,
      swiftSettings: strict),
    .target(
      name: "MutualTLS", dependencies: ["Cryptography", "COpenSSL", grpc, grpcTransport, nioHTTP2, nioHPACK] + nio,
      swiftSettings: strict),

    // Effects
    .target(
      name: "FederationServer",
      dependencies: [
        "Cryptography", "SecureAggregation", "TransparencyLog", "AuditLog", "Learning", "Federation",
        "FederationWire", "Storage", "MutualTLS", "ServiceControl", "LogService", grpc, grpcTransport, logging,
      ] + nio, swiftSettings: strict),
    .target(
      name: "FederationClient",
      dependencies: [
        "Cryptography", "SecureAggregation", "DifferentialPrivacy", "TransparencyLog", "AuditLog", "Learning",
        "Training", "Federation", "FederationWire", "Storage", "MutualTLS", "ServiceControl", "LogService", grpc,
        grpcTransport, logging,
      ] + nio, swiftSettings: strict),
    .executableTarget(
      name: "bauta",
      dependencies: [
        "FederationServer", "FederationClient", "FederationWire", "Federation", "Cryptography",
        "FederationSimulation", "SecureAggregation", "DifferentialPrivacy", "NoiseSampling", "TransparencyLog",
        "AuditLog", "Learning", "Training", "Storage",
        "MutualTLS", "ServiceControl", "LogService", logging,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),

    // Tests
    .testTarget(
      name: "CryptographyTests", dependencies: ["Cryptography"], resources: [.copy("Resources")],
      swiftSettings: strict),
    .testTarget(
      name: "SecureAggregationTests", dependencies: ["SecureAggregation", "Cryptography"], swiftSettings: strict),
    .testTarget(
      name: "FederationSimulationTests", dependencies: ["FederationSimulation", "SecureAggregation", "Cryptography"],
      swiftSettings: strict),
    .testTarget(
      name: "TransparencyLogTests", dependencies: ["TransparencyLog", "Cryptography"], swiftSettings: strict),
    .testTarget(
      name: "AuditLogTests", dependencies: ["AuditLog", "TransparencyLog", "Cryptography"], swiftSettings: strict),
    .testTarget(
      name: "NoiseSamplingTests", dependencies: ["NoiseSampling", "Cryptography"], swiftSettings: strict),
    .testTarget(
      name: "DifferentialPrivacyTests", dependencies: ["DifferentialPrivacy", "NoiseSampling"],
      resources: [.copy("Resources")], swiftSettings: strict),
    .testTarget(name: "LearningTests", dependencies: ["Learning"], swiftSettings: strict),
    .testTarget(name: "TrainingTests", dependencies: ["Training", "Learning"], swiftSettings: strict),
    .testTarget(
      name: "FederationTests", dependencies: ["Federation", "DifferentialPrivacy", "Cryptography"],
      swiftSettings: strict),
    .testTarget(
      name: "ServiceControlTests", dependencies: ["ServiceControl", "Cryptography"], swiftSettings: strict),
    .testTarget(
      name: "LogServiceTests",
      dependencies: ["LogService", "AuditLog", "TransparencyLog", "Cryptography", nioHTTP1] + nio, swiftSettings: strict
    ),
    .testTarget(name: "StorageTests", dependencies: ["Storage"], swiftSettings: strict),
    .testTarget(
      name: "MutualTLSTests",
      dependencies: ["MutualTLS", "Cryptography", grpc, grpcTransport, nioEmbedded, nioHTTP2, nioHPACK] + nio,
      swiftSettings: strict),
    .testTarget(
      name: "FederationWireTests",
      dependencies: [
        "FederationWire", "Federation", "TransparencyLog", "AuditLog", "SecureAggregation", "MutualTLS",
        "Cryptography", protobuf,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "FederationClientTests",
      dependencies: [
        "FederationClient", "FederationServer", "FederationWire", "Federation", "TransparencyLog", "AuditLog",
        "LogService", "SecureAggregation", "DifferentialPrivacy", "Learning", "Training", "Storage", "MutualTLS",
        "Cryptography", grpc,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "MisuseTests",
      // Not imported: the fixtures are compiled against these.
      dependencies: ["FederationClient", "Federation", "AuditLog", "SecureAggregation", "Cryptography"],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "bauta", "FederationClient", "FederationServer", "FederationWire", "Federation", "AuditLog",
        "TransparencyLog", "SecureAggregation", "DifferentialPrivacy", "Cryptography", "Learning", "Training",
        "MutualTLS",
        "ServiceControl", "LogService",
      ], exclude: ["Sessions"], swiftSettings: strict),
  ]
)
