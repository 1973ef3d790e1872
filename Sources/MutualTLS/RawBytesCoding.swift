import GRPCCore
import NIOCore

/// Passes messages through as they are, so that the bytes that were hashed are the bytes that are sent.
public struct RawBytesSerializer: MessageSerializer {
  public init() {}
  public func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
}

/// The counterpart of ``RawBytesSerializer``. The transport has already bounded the size of the message.
public struct RawBytesDeserializer: MessageDeserializer {
  public init() {}
  public func deserialize<Bytes: GRPCContiguousBytes>(_ serializedMessageBytes: Bytes) throws -> [UInt8] {
    serializedMessageBytes.withUnsafeBytes { Array($0) }
  }
}

/// As ``RawBytesSerializer``, for buffers.
public struct RawBufferSerializer: MessageSerializer {
  public init() {}
  public func serialize<Bytes: GRPCContiguousBytes>(_ message: ByteBuffer) throws -> Bytes {
    Bytes(message.readableBytesView)
  }
}

/// As ``RawBytesDeserializer``, for buffers.
public struct RawBufferDeserializer: MessageDeserializer {
  public init() {}
  public func deserialize<Bytes: GRPCContiguousBytes>(_ serializedMessageBytes: Bytes) throws -> ByteBuffer {
    serializedMessageBytes.withUnsafeBytes { ByteBuffer(bytes: $0) }
  }
}
