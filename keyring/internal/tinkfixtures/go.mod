module github.com/rahasia/rahasia/keyring/internal/tinkfixtures

go 1.26.0

require (
	github.com/google/tink/go v1.7.0
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
