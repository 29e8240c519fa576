package envelope

import (
	"crypto/hpke"
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/secret"
)

// Intake seals items for an [Inbox] and opens none: it holds a public key, and a
// key by which the inbox knows its sender. It is safe for concurrent use and
// prints as its sender. The zero Intake is not valid; get one from [OpenIntake].
type Intake struct {
	_     [0]func()
	state func() *intake
}

type intake struct {
	itemPlace
	public hpke.PublicKey
	mac    secret.MAC
}

// OpenIntake reads the credential that [Inbox.Enrol] wrote. A file that others
// than its owner may use at all, or that has another form, is ErrCredential.
// Who can put another file in its place chooses for whom the intake seals: keep
// the folder to the owner too.
//
// The intake cannot tell that its inbox was rotated: it goes on with its
// version until that is destroyed and its items are refused. Whoever rotates
// enrols again.
func OpenIntake(path string) (*Intake, error) {
	c, err := readCredential(path)
	if err != nil {
		return nil, err
	}
	return c.intake()
}

func (c *credential) intake() (*Intake, error) {
	public, err := kem().NewPublicKey(c.public)
	if err != nil {
		return nil, fmt.Errorf("%w: public key", ErrCredential)
	}
	mac, err := secret.NewMAC(c.key)
	if err != nil {
		return nil, err
	}
	i := &intake{c.itemPlace, public, mac}
	return &Intake{state: func() *intake { return i }}, nil
}

// Sender returns the name that the inbox knows this intake by.
func (i *Intake) Sender() string { return i.state().sender }

// Seal seals a payload of up to 16 MiB about a subject for the inbox. It asks
// nobody whether the subject is erased: the inbox does. Keep the item until its
// receipt is acknowledged, and send the same item again; one sealed again is
// another, which the inbox accepts beside it.
//
// The item shows sender, keyset version and, in the buckets of a row, its
// length; 1,234 bytes and the two names are added before that.
//
// No subject is ErrEmpty, a longer subject or payload ErrLimit.
func (i *Intake) Seal(subject string, payload []byte) (Item, error) {
	if err := checkContent(subject, payload); err != nil {
		return nil, err
	}
	in := i.state()
	enc, input, err := in.encapsulate()
	if err != nil {
		return nil, fmt.Errorf("envelope: seal: inbox %q: %w", in.inbox, err)
	}
	content := appendContent(make([]byte, 0, contentSize(len(subject), len(payload))), subject, payload)
	defer clear(content)
	return in.seal(enc, input, content), nil
}

// encapsulate returns a fresh input key, and what the inbox gets it from.
func (in *intake) encapsulate() (enc []byte, input secret.Expander, err error) {
	enc, sender, err := hpke.NewSender(in.public, hpke.HKDFSHA256(), hpke.ExportOnly(), in.info())
	if err != nil {
		return nil, secret.Expander{}, err
	}
	input, err = exported(sender)
	return enc, input, err
}

// seal makes an item of a content under a fresh input key.
func (in *intake) seal(enc []byte, input secret.Expander, content []byte) Item {
	item := make([]byte, 0, itemFixed+len(in.sender)+inboxEnc+itemMAC+int(chunked.SealedSize(int64(len(content)))))
	item = in.head(item, enc)
	key, head := chunked.New(input, bodyContext(item))
	mac := in.itemPlace.mac(in.mac, item, head)
	item = append(append(item, mac[:]...), head[:]...)
	return key.Seal(item, content)
}

// Format writes the sender's name, whatever the verb.
func (i *Intake) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.text()) }

// LogValue is the sender's name.
func (i *Intake) LogValue() slog.Value { return slog.StringValue(i.text()) }

func (i *Intake) text() string {
	if i == nil || i.state == nil {
		return "envelope.Intake()"
	}
	return "envelope.Intake(" + i.state().sender + ")"
}
