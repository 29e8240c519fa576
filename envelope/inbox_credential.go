package envelope

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// A credential is this prefix, its bytes in unpadded base64url, and a newline.
const credentialPrefix = "rahasia-intake-v1:"

// credentialLabel is of the check of a credential, over all but its key.
const credentialLabel = "rahasia/intake-file/v1"

// maxCredential is the length of the longest credential's bytes.
const maxCredential = 3*2 + 64 + maxDomain + maxSender + 4 + 2 + inboxKeyed + secret.KeySize + sha256.Size

// credential is what a sender is given.
type credential struct {
	itemPlace
	public []byte
	key    secret.Key // of its MACs
}

// open returns the bytes before the sender's key.
func (c *credential) open() []byte {
	b := lp.Append(make([]byte, 0, maxCredential), c.ring, c.inbox, c.sender)
	b = binary.BigEndian.AppendUint32(b, c.version)
	b = binary.BigEndian.AppendUint16(b, inboxKEM)
	return append(b, c.public...)
}

// check finds damage, and a public key that was exchanged by someone who could
// write the file and not read it.
func (c *credential) check() ([sha256.Size]byte, error) {
	mac, err := secret.NewMAC(c.key)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return secret.Sum(mac, append(lp.Append(nil, credentialLabel), c.open()...)), nil
}

// marshal returns the text of the credential, which holds the key in clear.
func (c *credential) marshal() ([]byte, error) {
	check, err := c.check()
	if err != nil {
		return nil, err
	}
	b := append(append(c.open(), secret.Expose(c.key)...), check[:]...)
	defer clear(b)
	text := make([]byte, 0, len(credentialPrefix)+textEncoding().EncodedLen(len(b))+1)
	text = textEncoding().AppendEncode(append(text, credentialPrefix...), b)
	return append(text, '\n'), nil
}

// parseCredential accepts exactly what marshal writes. Its errors quote nothing.
func parseCredential(text []byte) (*credential, error) {
	bad := func(what string) (*credential, error) {
		return nil, fmt.Errorf("%w: %s", ErrCredential, what)
	}
	body, ok := bytes.CutPrefix(text, []byte(credentialPrefix))
	body, end := bytes.CutSuffix(body, []byte("\n"))
	if !ok || !end || len(body) > textEncoding().EncodedLen(maxCredential) {
		return bad("not a file of version 1 as Enrol writes it")
	}
	b := make([]byte, 0, maxCredential)
	defer func() { clear(b[:cap(b)]) }()
	b, err := textEncoding().AppendDecode(b, body)
	if err != nil || bytes.ContainsAny(body, "\r\n") {
		return bad("malformed encoding")
	}
	c, key, check, ok := splitCredential(b)
	if !ok {
		return bad("malformed content")
	}
	if c.key, err = secret.NewKey(key); err != nil {
		return bad("malformed key")
	}
	want, err := c.check()
	if err != nil || !hmac.Equal(want[:], check) {
		return bad("damaged: the check does not fit")
	}
	return c, nil
}

// splitCredential reads all but the key and the check, which alias b.
func splitCredential(b []byte) (c *credential, key, check []byte, ok bool) {
	c = new(credential)
	for _, name := range []*string{&c.ring, &c.inbox, &c.sender} {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, nil, nil, false
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		*name, b = string(b[2:n]), b[n:]
	}
	const fixed = 4 + 2 + inboxKeyed
	if len(b) != fixed+secret.KeySize+sha256.Size || binary.BigEndian.Uint16(b[4:]) != inboxKEM {
		return nil, nil, nil, false
	}
	c.version, c.public = binary.BigEndian.Uint32(b), bytes.Clone(b[6:fixed])
	key, check = b[fixed:fixed+secret.KeySize], b[fixed+secret.KeySize:]
	named := c.ring != "" && c.inbox != "" && len(c.inbox) <= maxDomain && validSender(c.sender) && c.version != 0
	return c, key, check, named
}

// writeCredential makes a new file with mode 0600, durable when it returns.
func writeCredential(path string, c *credential) error {
	text, err := c.marshal()
	if err != nil {
		return err
	}
	defer clear(text)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("credential: %w", keyring.ErrExists)
	} else if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close(), syncFolder(path)); err != nil {
		_ = os.Remove(path) // half a credential would look like one
		return err
	}
	return nil
}

// syncFolder makes the name of a new file durable.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readCredential reads what writeCredential made.
func readCredential(path string) (*credential, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("envelope: credential: %w", err)
	}
	defer f.Close()
	info, err := f.Stat() // of the open file: the path may be swapped meanwhile
	if err != nil {
		return nil, fmt.Errorf("envelope: credential: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: no regular file", ErrCredential)
	}
	if info.Mode().Perm()&^0o600 != 0 {
		return nil, fmt.Errorf("%w: mode %v, wider than 0600", ErrCredential, info.Mode())
	}
	text := make([]byte, len(credentialPrefix)+textEncoding().EncodedLen(maxCredential)+2) // one more than there can be
	defer clear(text)
	n, err := io.ReadFull(f, text)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, fmt.Errorf("envelope: credential: %w", err)
	}
	return parseCredential(text[:n])
}
