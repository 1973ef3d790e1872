import Cryptography

func compared(_ secret: borrowing SecretBytes, _ other: borrowing SecretBytes) -> Bool {
  // expected-error@+1 {{binary operator '==' cannot be applied to two 'SecretBytes' operands}}
  secret == other
}

func interpolated(_ secret: borrowing SecretBytes) -> String {
  // expected-error@+1 {{no exact matches in call to instance method 'appendInterpolation'}}
  "\(secret)"
}

func described(_ secret: borrowing SecretBytes) -> String {
  // expected-error@+1 {{no exact matches in call to initializer}}
  String(describing: secret)
}

func printed(_ secret: borrowing SecretBytes) {
  // expected-error@+1 {{argument type 'SecretBytes' does not conform to expected type 'Copyable'}}
  print(secret)
}

func dumped(_ secret: borrowing SecretBytes) {
  // expected-error@+1 {{requires that 'SecretBytes' conform to 'Copyable'}}
  dump(secret)
}

func boxed(_ secret: consuming SecretBytes) {
  // expected-error@+1 {{value of type 'SecretBytes' does not conform to specified type 'Copyable'}}
  let box: Any = secret
  _ = box
}

func hashed(_ secret: borrowing SecretBytes) -> Int {
  var hasher = Hasher()
  // expected-error@+1 {{requires that 'SecretBytes' conform to 'Hashable'}}
  hasher.combine(secret)
  return hasher.finalize()
}

func encoded(_ secret: consuming SecretBytes) {
  // expected-error@+1 {{value of type 'SecretBytes' does not conform to specified type 'Encodable'}}
  let encodable: any Encodable = secret
  _ = encodable
}

func inAnArray(_ secret: consuming SecretBytes) {
  // expected-error@+1 {{requires that 'SecretBytes' conform to 'Copyable'}}
  _ = [secret]
}

func ofAKey(_ key: borrowing IdentitySigningKey, _ other: borrowing IdentitySigningKey) -> Bool {
  // expected-error@+1 {{binary operator '==' cannot be applied to two 'IdentitySigningKey'}}
  key == other
}

func ofAScalar(_ scalar: borrowing Scalar) -> [UInt8] {
  // expected-error@+1 {{value of type 'Scalar' has no member 'bytes'}}
  scalar.bytes
}
