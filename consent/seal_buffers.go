package consent

import "context"

// sealBuffers is the memory of one [Records.Seal], wiped before it is used again.
type sealBuffers struct {
	tags map[string][]byte
	text []byte // of tags
	body logBody
}

// seal is SealAll for one record, in memory that is used again.
func (r *Records[T]) seal(ctx context.Context, m *sealBuffers, src *T, tag Tag) (Row, error) {
	if err := tag.check(); err != nil {
		return Row{}, err
	}
	facts := tag.facts()
	for i := range r.tagged {
		f, at := &r.tagged[i], len(m.text)
		m.text = facts.appendTo(m.text, f)
		m.tags[f.compartment] = m.text[at:len(m.text):len(m.text)]
	}
	row, err := r.sealOne(ctx, src, tag, m.tags, &m.body)
	if err == nil {
		err = r.cfg.Log.append(ctx, &m.body)
	}
	if err != nil {
		return Row{}, err
	}
	return row, nil
}

func (m *sealBuffers) wipe() {
	clear(m.tags)
	clear(m.text)
	m.text = m.text[:0]
	m.body = logBody{Subject: m.body.Subject[:0], under: m.body.under[:0], text: m.body.text[:0]}
}
