package pseudo

import (
	"cmp"
	"context"
	"iter"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// An Attribution says which domains leaked tokens were made for, and on what
// evidence.
type Attribution struct {
	Leaked     int // different tokens that were handed in; a zero token is none
	Explained  int // of these, those that at least one domain made
	Candidates int // how many candidates were tried
	Refused    int // how many were not, because their kind refuses them
	Evidence   []Evidence
}

// Evidence is what one key version of one domain explains. There is one for
// each version that occurs among the leaked tokens and that the domain ever had;
// the one that explains most is the first.
type Evidence struct {
	Domain    string
	Version   uint32
	Leaked    int   // different leaked tokens of this version
	Explained int   // of these, those that the domain made
	Places    []int // where those stand in the list that was handed in
	// Chance bounds the probability that as many would fit if the domain had
	// made none of them: 1 where none fits, and 3·10⁻²⁹ for a single one of a
	// thousand tokens and ten million candidates. Below 10⁻³⁰⁰ it is 0.
	Chance float64
	// Err is not nil where the version could not be tried because its key is
	// suspended or destroyed. The domain is then not cleared.
	Err error
}

// compare puts what explains most first.
func (e Evidence) compare(f Evidence) int {
	return cmp.Or(cmp.Compare(f.Explained, e.Explained), cmp.Compare(e.Domain, f.Domain), cmp.Compare(e.Version, f.Version))
}

// Attribute tells for whom leaked tokens were made: it makes the tokens of
// candidates, such as every NIK in the patients' table, in each of domains, and
// looks them up among the leaked ones. The pseudonyms of a [Deidentifier]'s table,
// read by [ParseToken], are of kind [Subject], and the candidates are the patients'
// ids. Of the domains' readable key versions those are tried that occur among them.
// It works on all cores, reads candidates once, from one goroutine, and keeps none
// of them.
//
// The first Evidence names the recipient. A token that fits was made under the
// keys of that domain, which [Evidence.Chance] says almost surely; it does not
// say who passed it on, and who may call [Domain.Token] can make tokens to
// blame a domain. Tokens that nothing explains may be those of persons that are
// not among the candidates, of another kind, of a version whose key is gone, or
// noise. No result contains a candidate. Of leaked digits ([Reversible.Digits])
// make the candidates' in each domain, and compare.
//
// It returns [ErrUnknownKind], [ErrNoDomain], the errors of the domains' rings,
// and that of ctx when it ends first; there is no partial result.
func Attribute(ctx context.Context, domains []*Domain, kind Kind, leaked []Token, candidates iter.Seq[string]) (Attribution, error) {
	place, err := placeOf(kind)
	if err != nil {
		return Attribution{}, err
	}
	c := newCulprits(leaked)
	for _, d := range domains {
		p, err := d.current(ctx)
		if err != nil {
			return Attribution{}, err
		}
		for i, version := range p.versions {
			c.add(d.name, version, p.keys[i].macs[place])
		}
		c.addLost(p)
	}
	if err := c.try(ctx, kind, candidates); err != nil {
		return Attribution{}, err
	}
	return c.attribution(leaked), nil
}

// culprits are the key versions that may have made leaked tokens, and what was
// found of each.
type culprits struct {
	leaked  map[uint32]map[[macSize]byte]int // by version, the number of each different token
	total   int
	suspect []suspect
	tried   atomic.Int64
	refused atomic.Int64
}

type suspect struct {
	Evidence
	mac  mac
	hits []atomic.Uint64 // a bit for each different token of the version
}

func newCulprits(leaked []Token) *culprits {
	c := &culprits{leaked: map[uint32]map[[macSize]byte]int{}}
	for _, t := range leaked {
		if t.IsZero() {
			continue
		}
		of := c.leaked[t.version]
		if of == nil {
			of = map[[macSize]byte]int{}
			c.leaked[t.version] = of
		}
		if _, known := of[t.mac]; !known {
			of[t.mac] = len(of)
			c.total++
		}
	}
	return c
}

// add notes a readable version, if a leaked token has it.
func (c *culprits) add(domain string, version uint32, m mac) {
	if n := len(c.leaked[version]); n > 0 {
		c.suspect = append(c.suspect, suspect{Evidence{Domain: domain, Version: version, Leaked: n, Chance: 1}, m, make([]atomic.Uint64, (n+63)/64)})
	}
}

// addLost notes the versions that a leaked token has and nobody can read.
func (c *culprits) addLost(p *plan[tokenKeys]) {
	for version := range p.keyset.States() {
		if n := len(c.leaked[version]); n > 0 {
			if lost, is := lostEvidence(p, version); is {
				lost.Leaked = n
				c.suspect = append(c.suspect, suspect{Evidence: lost})
			}
		}
	}
}

// lostEvidence is the evidence of a version that is no longer readable.
func lostEvidence[K any](p *plan[K], version uint32) (e Evidence, is bool) {
	_, err := p.at(version)
	return Evidence{Domain: p.domain, Version: version, Chance: 1, Err: err}, err != nil
}

// attributeBatch is how many candidates go to a core at once.
const attributeBatch = 256

// try makes every suspect's token of every candidate. The candidates are read
// by this goroutine.
func (c *culprits) try(ctx context.Context, kind Kind, candidates iter.Seq[string]) error {
	workers := runtime.GOMAXPROCS(0)
	work := make(chan []string, workers)
	empty := make(chan []string, 2*workers) // batches to be filled again
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for batch := range work {
				c.batch(ctx, kind, batch)
				clear(batch) // keeps no candidate
				select {
				case empty <- batch[:0]:
				default:
				}
			}
		})
	}
	func() {
		defer wg.Wait()
		defer close(work) // also when candidates panics
		batch := make([]string, 0, attributeBatch)
		for candidate := range candidates {
			if batch = append(batch, candidate); len(batch) < attributeBatch {
				continue
			}
			select {
			case work <- batch:
			case <-ctx.Done():
				return
			}
			select {
			case batch = <-empty:
			default:
				batch = make([]string, 0, attributeBatch)
			}
		}
		work <- batch
	}()
	return ctx.Err()
}

func (c *culprits) batch(ctx context.Context, kind Kind, candidates []string) {
	if ctx.Err() != nil {
		return // its error is the answer
	}
	refused := 0
	for _, candidate := range candidates {
		normal, _, err := kind.normalize(candidate)
		if err != nil {
			refused++
			continue
		}
		for i := range c.suspect {
			s := &c.suspect[i]
			if s.Err != nil {
				continue
			}
			if at, ok := c.leaked[s.Version][s.mac.sum(normal)]; ok {
				s.hits[at/64].Or(1 << (at % 64))
			}
		}
	}
	c.refused.Add(int64(refused))
	c.tried.Add(int64(len(candidates) - refused))
}

// made reports whether s made a leaked token.
func (c *culprits) made(s *suspect, t Token) bool {
	if s.Version != t.version || s.Err != nil {
		return false
	}
	at := c.leaked[t.version][t.mac]
	return s.hits[at/64].Load()>>(at%64)&1 == 1
}

// attribution sums up.
func (c *culprits) attribution(leaked []Token) Attribution {
	tried := int(c.tried.Load())
	for i := range c.suspect {
		s := &c.suspect[i]
		for j := range s.hits {
			s.Explained += bits.OnesCount64(s.hits[j].Load())
		}
		s.Chance = chance(s.Leaked, tried, s.Explained)
	}
	slices.SortFunc(c.suspect, func(a, b suspect) int { return a.compare(b.Evidence) })
	a := Attribution{Leaked: c.total, Candidates: tried, Refused: int(c.refused.Load())}
	explained := map[Token]bool{}
	for i := range c.suspect {
		s := &c.suspect[i]
		for place, t := range leaked {
			if s.Explained > 0 && c.made(s, t) {
				s.Places = append(s.Places, place)
				explained[t] = true
			}
		}
		a.Evidence = append(a.Evidence, s.Evidence)
	}
	a.Explained = len(explained)
	return a
}

// chance bounds the probability that at least hits of some tokens are among
// those of some candidates although they have nothing to do with them. Each
// pair agrees with probability 2⁻¹²⁸, so of all choices of hits pairs the
// expected number that agree is at most λ^hits/hits! with λ = tokens ·
// candidates · 2⁻¹²⁸ (union bound).
func chance(tokens, candidates, hits int) float64 {
	if hits == 0 {
		return 1
	}
	lambda := math.Log(float64(tokens)) + math.Log(float64(candidates)) - 128*math.Ln2
	factorial, _ := math.Lgamma(float64(hits) + 1)
	return math.Exp(float64(hits)*lambda - factorial)
}
