package pseudo

import "context"

// An Authority decides whether tokens may be turned back, and keeps the record
// of who asked: re-identification is an act that somebody answers for, and not
// what a key lets one do. Who is asking, why, and on which basis it knows from
// whoever made it, for one request, or from the context. The one of package consent
// (Config.Authority) decides by its policy, limits and writes its audit log.
//
// Authorize is called once for a batch, before anything of it is opened.
//   - It returns nil only when the request may be fulfilled and the record of it is
//     durable: what it has not recorded has not been allowed.
//   - Any error refuses the whole batch. It reaches the caller, wrapped.
//   - It is not told the values, because nobody knows them yet, nor the tokens.
//   - It is safe for concurrent use.
//
// What the batch yielded is not reported back: a token that does not open
// counts as one that was asked for.
type Authority interface {
	Authorize(ctx context.Context, r Reversal) error
}

// A Reversal is what an [Authority] is asked for.
type Reversal struct {
	Domain string // whose tokens are turned back
	To     string // the domain that they are translated to, by its name, which one of another ring may have too; empty for re-identification, which releases the values
	Kind   Kind   // what the values are
	Count  int    // how many tokens, at least 1; a token that occurs twice counts twice
}
