import Cryptography

/// What can be wrong with a note, a checkpoint, a tile or a file of a log.
///
/// Parsing errors carry the place and the rule that was broken, never the content: the content is hostile.
public enum TransparencyLogError: BlamedError, Equatable {
  case malformedKeyName
  case malformedVerifierKey(VerifierKeyDefect)
  case malformedNote(NoteDefect)
  case malformedCheckpoint(CheckpointDefect)
  case malformedCosignature
  case malformedTilePath
  /// A proof or a node was asked for that a tree of this size does not have.
  case outOfRange(requested: UInt64, size: UInt64)
  /// An entry longer than the 65,535 bytes that an entry bundle can hold.
  case entryTooLong(bytes: Int)
  case missingFile(path: String)
  case notARegularFile(path: String)
  case fileTooLarge(path: String, limit: Int)
  case malformedTile(path: String)
  case fileOperation(FileOperation, path: String, code: Int32)
  case signing(CryptographyError)

  public enum VerifierKeyDefect: String, Sendable {
    case shape, keyIDMismatch, wrongSignatureType, invalidKey, tooLong
  }

  public enum NoteDefect: String, Sendable {
    case tooLong, notUTF8, controlCharacter, noSeparator, noSignature, signatureLine, tooManySignatures
    case duplicateSignature, textWithoutFinalNewline, emptyText
  }

  public enum CheckpointDefect: String, Sendable {
    case lineCount, emptyOrigin, size, root, emptyExtension
  }

  public enum FileOperation: String, Sendable {
    case open, inspect, read, write, synchronize, rename, createDirectory, list, remove, truncate, lock
  }

  public var code: String {
    switch self {
    case .malformedKeyName: "note-key-name-malformed"
    case .malformedVerifierKey: "verifier-key-malformed"
    case .malformedNote: "note-malformed"
    case .malformedCheckpoint: "checkpoint-malformed"
    case .malformedCosignature: "cosignature-malformed"
    case .malformedTilePath: "tile-path-malformed"
    case .outOfRange: "log-out-of-range"
    case .entryTooLong: "log-entry-too-long"
    case .missingFile: "log-file-missing"
    case .notARegularFile: "log-file-not-regular"
    case .fileTooLarge: "log-file-too-large"
    case .malformedTile: "tile-malformed"
    case .fileOperation: "log-file-operation"
    case .signing: "note-signing"
    }
  }

  public var blame: Blame {
    switch self {
    case .malformedKeyName, .outOfRange, .entryTooLong: .caller
    case .malformedVerifierKey, .malformedNote, .malformedCheckpoint, .malformedCosignature, .malformedTilePath: .peer
    case .missingFile, .notARegularFile, .fileTooLarge, .malformedTile, .fileOperation: .local
    case .signing(let error): error.blame
    }
  }

  public var message: String {
    switch self {
    case .malformedKeyName:
      "the key name is empty, longer than 255 bytes, or holds white space, a control character or a plus sign"
    case .malformedVerifierKey(let defect): "the verifier key is not valid: \(defect.explanation)"
    case .malformedNote(let defect): "the signed note is not valid: \(defect.explanation)"
    case .malformedCheckpoint(let defect): "the checkpoint is not valid: \(defect.explanation)"
    case .malformedCosignature: "the cosignature is not an eight-byte time in range followed by 64 bytes"
    case .malformedTilePath: "the path is not one of a tile or an entry bundle"
    case .outOfRange(let requested, let size): "position \(requested) lies outside a log of size \(size)"
    case .entryTooLong(let bytes): "the entry has \(bytes) bytes; an entry bundle holds at most 65535 for each"
    case .missingFile(let path): "\(path) is missing"
    case .notARegularFile(let path): "\(path) is not a regular file"
    case .fileTooLarge(let path, let limit): "\(path) is longer than \(limit) bytes"
    case .malformedTile(let path): "\(path) does not have the length or framing of its width"
    case .fileOperation(let operation, let path, let code):
      "cannot \(operation.phrase) \(path): \(DurableFile.explanation(ofCode: code))"
    case .signing(let error): error.message
    }
  }

  public var remedy: String {
    switch self {
    case .malformedKeyName: "Use the organisation's host-like name."
    case .malformedVerifierKey: "Ask the key's owner for the line in the .vkey file again."
    case .malformedNote, .malformedCheckpoint, .malformedCosignature:
      "Fetch the note again from its author; if it stays malformed, do not use it."
    case .malformedTilePath: "Use tile/LEVEL/INDEX or tile/entries/INDEX as C2SP tlog-tiles writes them."
    case .outOfRange: "Ask for a position below the size of the checkpoint."
    case .entryTooLong: "Record less in one entry."
    case .missingFile, .malformedTile: "Restore the log's directory from a copy and verify it."
    case .notARegularFile, .fileTooLarge: "Remove what is not part of the log from its directory."
    case .fileOperation(_, let path, let code) where DurableFile.isLackOfSpace(code):
      "Free space where \(path) lies, or raise the quota or limit that holds there. Nothing is sent meanwhile; a log that is "
        + "open goes on by itself once it can write."
    case .fileOperation: "Check the path, its permissions and the free space."
    case .signing(let error): error.remedy
    }
  }
}

extension TransparencyLogError.VerifierKeyDefect {
  var explanation: String {
    switch self {
    case .shape: "it is not NAME+KEYID+BASE64"
    case .keyIDMismatch: "its key ID does not belong to its name and key"
    case .wrongSignatureType: "it is a key for another kind of signature"
    case .invalidKey: "its key is not a usable Ed25519 key"
    case .tooLong: "it is too long"
    }
  }
}

extension TransparencyLogError.NoteDefect {
  var explanation: String {
    switch self {
    case .tooLong: "it is too long"
    case .notUTF8: "it is not UTF-8"
    case .controlCharacter: "it holds a control character"
    case .noSeparator: "no blank line separates text and signatures"
    case .noSignature: "it has no signature"
    case .signatureLine: "a signature line is not an em dash, a name and base64"
    case .tooManySignatures: "it has too many signatures"
    case .duplicateSignature: "one key has signed twice"
    case .textWithoutFinalNewline: "its text does not end in a newline"
    case .emptyText: "it has no text"
    }
  }
}

extension TransparencyLogError.CheckpointDefect {
  var explanation: String {
    switch self {
    case .lineCount: "it does not have an origin, a size and a root line"
    case .emptyOrigin: "its origin line is empty"
    case .size: "its size line is not a plain decimal number"
    case .root: "its root line is not 32 bytes in base64"
    case .emptyExtension: "it has an empty extension line"
    }
  }
}

extension TransparencyLogError.FileOperation {
  var phrase: String {
    switch self {
    case .open: "open"
    case .inspect: "inspect"
    case .read: "read"
    case .write: "write"
    case .synchronize: "bring to disk"
    case .rename: "rename to"
    case .createDirectory: "create the directory"
    case .list: "list"
    case .remove: "remove"
    case .truncate: "cut"
    case .lock: "lock"
    }
  }
}
