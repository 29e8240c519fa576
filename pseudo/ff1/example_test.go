package ff1_test

import (
	"crypto/aes"
	"fmt"
	"log"

	"github.com/rahasia/rahasia/pseudo/ff1"
)

// The third of NIST's samples: an alphabet of letters too, and a tweak, under
// which equal texts of different places have different results.
func ExampleNew() {
	key := []byte{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c}
	block, err := aes.NewCipher(key)
	if err != nil {
		log.Fatal(err)
	}
	c, err := ff1.New(block, "0123456789abcdefghijklmnopqrstuvwxyz")
	if err != nil {
		log.Fatal(err)
	}
	out, err := c.AppendEncrypt(nil, []byte("7777pqrs777"), "0123456789abcdefghi")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
	// Output:
	// a9tv40mll9kdu509eum
}

// The first of NIST's samples. A program takes its key from a key store, and
// uses it for nothing else.
func ExampleCipher_AppendEncrypt() {
	key := []byte{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c}
	block, err := aes.NewCipher(key)
	if err != nil {
		log.Fatal(err)
	}
	c, err := ff1.New(block, "0123456789")
	if err != nil {
		log.Fatal(err)
	}
	out, err := c.AppendEncrypt(nil, nil, "0123456789")
	if err != nil {
		log.Fatal(err)
	}
	back, err := c.AppendDecrypt(nil, nil, string(out))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out), string(back))

	_, err = c.AppendEncrypt(nil, nil, "01234")
	fmt.Println(err)
	_, err = c.AppendEncrypt(nil, nil, "+123456789")
	fmt.Println(err)
	// Output:
	// 2433477484 0123456789
	// ff1: text or tweak too short or too long
	// ff1: a character is not in the alphabet
}
