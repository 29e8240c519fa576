// Package gorm keeps sealed rows with GORM: a field of type envelope.Sealed
// needs no tag and no registration. AutoMigrate makes it a BLOB or BYTEA
// column, a nil one is NULL, and an update that names the row it replaces loses
// no other.
//
// It is a module of its own, so that rahasia does not depend on GORM.
package gorm
