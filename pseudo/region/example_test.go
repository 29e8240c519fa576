package region_test

import (
	"fmt"

	"github.com/rahasia/rahasia/pseudo/region"
)

// The first two digits of a code are its province, the first four its regency.
func ExampleFind() {
	const code = "9101020103" // of a village
	regency, ok := region.Find(code[:4])
	fmt.Println(regency.Name, regency.Years, ok)
	province, ok := region.Find(code[:2])
	fmt.Println(province.Name, ok)
	// Output:
	// Kabupaten Merauke [2015 2017 2020 2022] true
	// Papua true
}
