package pseudo

const (
	bpjsDigits = 13
	ruleBPJS   = "want 13 digits"
)

// normalBPJS takes the number for 13 digits without a meaning. Two structures
// with two check digits circulate and contradict each other, and the insurer's
// own interfaces ask for 13 digits.
func normalBPJS(value string) (normal, broken string) {
	normal, ok := digitsOf(value, bpjsDigits)
	if !ok {
		return "", ruleBPJS
	}
	return normal, ""
}
