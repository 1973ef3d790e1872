import ArgumentParser
import Foundation

/// The systemd unit of a service, closed as far as the service allows.
enum ServiceUnit {
  /// - Parameters:
  ///   - arguments: after the program's path; none may hold a character that systemd or a shell would read.
  ///   - directory: the only place that the service may write to.
  ///   - stopSeconds: what SIGTERM may take.
  static func text(
    description: String, arguments: [String], directory: String, user: String, stopSeconds: Int
  ) -> String {
    """
    # \(description). Install as /etc/systemd/system/NAME.service, then: systemctl enable --now NAME
    # A passphrase or PIN: LoadCredential=pin:/path/of/file, and in ExecStart
    #   /bin/sh -c 'exec … --passphrase-fd 3 3<"$CREDENTIALS_DIRECTORY/pin"'
    [Unit]
    Description=\(description)
    Wants=network-online.target
    After=network-online.target
    # A service that cannot start is not started over and over: tokens lock after a few wrong PINs.
    StartLimitIntervalSec=600
    StartLimitBurst=2

    [Service]
    User=\(user)
    ExecStart=\(([program] + arguments).joined(separator: " "))
    ExecReload=/bin/kill -HUP $MAINPID
    KillSignal=SIGTERM
    TimeoutStopSec=\(stopSeconds)
    Restart=on-failure
    RestartSec=30
    UMask=0077
    LimitCORE=0
    LimitNOFILE=8192
    LimitMEMLOCK=256M

    # It needs the network, its directory, and nothing else.
    ReadWritePaths=\(directory)
    ProtectSystem=strict
    ProtectHome=read-only
    PrivateTmp=yes
    PrivateDevices=yes
    ProtectClock=yes
    ProtectControlGroups=yes
    ProtectHostname=yes
    ProtectKernelLogs=yes
    ProtectKernelModules=yes
    ProtectKernelTunables=yes
    ProtectProc=invisible
    RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
    RestrictNamespaces=yes
    RestrictRealtime=yes
    RestrictSUIDSGID=yes
    LockPersonality=yes
    MemoryDenyWriteExecute=yes
    NoNewPrivileges=yes
    CapabilityBoundingSet=
    SystemCallArchitectures=native
    SystemCallFilter=@system-service
    SystemCallFilter=~@privileged
    SystemCallFilter=@chown
    SystemCallErrorNumber=EPERM

    [Install]
    WantedBy=multi-user.target
    """
  }

  /// This very program, wherever it was started from.
  private static var program: String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/usr/local/bin/bauta"
  }

  /// An absolute path without characters that would have to be quoted.
  ///
  /// - Throws: `CommandError`.
  static func path(_ path: String) throws -> String {
    let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
    guard absolute.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"\"'\\%$;".utf8.contains($0) }) else {
      throw CommandError.usage(
        "\(path) holds characters that a unit file would have to quote",
        remedy: "Use a path of letters, digits and -_./ for a service.")
    }
    return absolute
  }

  static func user(_ name: String) throws -> String {
    let isName = name.utf8.allSatisfy {
      (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F
    }
    guard !name.isEmpty, isName else {
      throw CommandError.usage(
        "'\(name)' is no name of a user", remedy: "Give the user under which the service is to run: --user bauta")
    }
    return name
  }
}

struct ServerUnitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unit", abstract: "Print a systemd unit for the server.",
    discussion: """
        bauta server unit --directory /srv/hub --user bauta > /etc/systemd/system/bauta-server.service
        systemctl enable --now bauta-server

      The service may write to its directory only. The directory must belong to the user.
      """)

  @OptionGroup var place: DirectoryOption
  @Option(help: ArgumentHelp("The user under which it is to run; the directory's owner.", valueName: "name"))
  var user = "bauta"

  func run() async throws {
    let directory = try ServiceUnit.path(place.directory)
    Output.standard.write(
      Array(
        (ServiceUnit.text(
          description: "Bauta server", arguments: ["server", "--directory", directory, "--log-format", "json"],
          directory: directory, user: try ServiceUnit.user(user), stopSeconds: 90) + "\n").utf8))
  }
}

struct ClientUnitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unit", abstract: "Print a systemd unit for this organisation's client.",
    discussion: """
        bauta client unit --data /srv/alder/claims.csv --directory /srv/alder --user bauta \\
          > /etc/systemd/system/bauta-client.service
        systemctl enable --now bauta-client

      The service may write to its directory only, and reads the data file. The directory must belong to the user.
      """)

  @Option(help: ArgumentHelp("CSV file with this organisation's rows.", valueName: "file"), completion: .file())
  var data: String

  @OptionGroup var place: DirectoryOption
  @Option(help: ArgumentHelp("The user under which it is to run; the directory's owner.", valueName: "name"))
  var user = "bauta"

  func run() async throws {
    let directory = try ServiceUnit.path(place.directory)
    let arguments = [
      "client", "--stay", "--data", try ServiceUnit.path(data), "--directory", directory, "--log-format", "json",
    ]
    Output.standard.write(
      Array(
        (ServiceUnit.text(
          description: "Bauta client", arguments: arguments, directory: directory, user: try ServiceUnit.user(user),
          stopSeconds: 30) + "\n").utf8))
  }
}
