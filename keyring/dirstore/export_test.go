package dirstore

// SetFault has f called between any two steps of the store.
func (s *Store) SetFault(f func(step string)) { s.fault = f }
