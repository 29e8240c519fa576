package pseudo

import "strings"

const ruleRegion = "want the code of a province, regency, district or village: 2, 4, 6 or 10 digits, with a dot between all of the parts or none, and no part of zeros"

// normalRegion returns the code without dots. It is that of the Ministry of
// Home Affairs, as in a NIK; those of Statistics Indonesia have the same shape
// and other meanings. Whether a region has the code is not checked: see
// package region.
func normalRegion(value string) (normal, broken string) {
	value = strings.TrimFunc(value, invisible)
	digits := strings.ReplaceAll(value, ".", "")
	n := len(digits)
	if n != 2 && n != 4 && n != 6 && n != 10 || !isDigits(digits, n) {
		return "", ruleRegion
	}
	dotted := ""
	for at, size := 0, 2; at < n; at += size {
		if at == 6 {
			size = 4
		}
		part := digits[at : at+size]
		if strings.Trim(part, "0") == "" {
			return "", ruleRegion
		}
		if at > 0 {
			dotted += "."
		}
		dotted += part
	}
	if value != digits && value != dotted {
		return "", ruleRegion
	}
	return digits, ""
}
