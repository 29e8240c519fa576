package pseudo

const ruleKK = "want 16 digits"

// normalKK takes the number of a family's card for 16 digits. They are those
// of a region, of the day the family was registered and of a serial, and look
// like a NIK; but unlike a NIK's nothing depends on them, and no source says
// that there is no number with another day, so none is refused.
func normalKK(value string) (normal, broken string) {
	normal, ok := digitsOf(value, nikDigits)
	if !ok {
		return "", ruleKK
	}
	return normal, ""
}
