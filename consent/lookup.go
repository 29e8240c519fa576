package consent

import (
	"context"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/pseudo"
)

// Lookup returns the tokens under which rows with this value in the field may
// be stored, one for each key version that is still read: for
// WHERE token = ANY(...), or of a unique field
// WHERE token_a = ANY(...) OR token_b = ANY(...). It is logged, without the
// patient, whom nobody knows yet, and refused where the request's role may not see
// the field; no consent is asked, for there is no patient to ask of. Pass one of
// the tokens that matched as Request.FoundBy to Open, which then proves the row to
// be the right one.
//
// Errors: [ErrRequest], [*DeniedError], [ErrAudit], pseudo.ErrField,
// *pseudo.FormatError.
func (r *Records[T]) Lookup(ctx context.Context, field, value string, req Request) ([]pseudo.Token, error) {
	tokens, err := r.lookup(ctx, field, value, req)
	if err != nil {
		if denied := (*DeniedError)(nil); errors.As(err, &denied) {
			return nil, denied
		}
		return nil, fmt.Errorf("consent: look up %s: %w", r.name, err) // the field is not quoted: a caller may have mixed up its arguments
	}
	return tokens, nil
}

func (r *Records[T]) lookup(ctx context.Context, field, value string, req Request) ([]pseudo.Token, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	tokens, err := r.index.Lookup(ctx, field, value)
	if err != nil {
		return nil, err
	}
	b := r.entry("lookup", req)
	b.Fields, b.Outcome, b.Reason = []string{field}, "done", MaySearch
	f, _ := r.plan.Field(field)
	switch {
	case !req.Purpose.known():
		b.Reason = Unknown
	case !r.cfg.roleKnown(req.Role):
		b.Reason = NoRole
	case !r.cfg.roleMay(req.Role, f.Compartment):
		b.Reason = RoleForbids
	case !r.cfg.Guard.mayRun(&req):
		b.Reason = NoJob
	default:
		if b.Reason, err = r.admitLookup(ctx, &req, b, tokens); err != nil {
			return nil, err
		}
	}
	if b.Reason != MaySearch {
		b.Outcome = "refused"
	}
	if err := r.cfg.Log.append(ctx, b); err != nil {
		return nil, err
	}
	if b.Reason != MaySearch {
		return nil, denied(b)
	}
	return tokens, nil
}
