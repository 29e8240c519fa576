// Package gorm keeps sealed rows with GORM: a field of type envelope.Sealed
// needs no tag and no registration. AutoMigrate makes it a BLOB or BYTEA
// column, a nil one is NULL, and an update that names the row it replaces loses
// no other.
//
// The table and what is sealed may be two types, as in TestGORM, or one, as in
// TestOneType: what is sealed has gorm:"-", and every column phi:"clear",
// gorm.Model among them. What an inbox received is accepted in a transaction of
// GORM's: TestAccept.
//
// It is a module of its own, so that rahasia does not depend on GORM.
package gorm
