package pseudo

// The words that are dropped from a name, in canonical spelling: folded and
// without dots. This is the table of version 1 of the normaliser of [Name];
// a change needs a new version. Sources: Permendagri 73/2022 art. 5 and the
// Directorate General's explanation of it (Prof., Ir., dr., H., Hj. are titles
// and not parts of a name); Depkes RI 2006, rules for medical records (no
// titles; Tuan, Saudara, Bapak never written; newborns); SK Mendikbud
// 036/U/1993 and the colleges' lists for degrees of the health professions.
// Titles by birth (Raden, Andi, Teuku, Cut, Ni) are parts of a name and stay.

// isTitle reports whether w is dropped before a name and after a comma.
func isTitle(w string) bool {
	switch w {
	case "dr", "drg", "drh", "drs", "dra", "prof", "ir", "h", "hj", "kh", "ust", "ustadz", "ustadzah", "pdt",
		"tn", "ny", "nn", "tuan", "nyonya", "nona", "sdr", "sdri", "saudara", "saudari",
		"bpk", "bapak", "ibu", "alm", "almh", "almarhum", "almarhumah", "ns", "apt", "bd", "mr", "mrs", "ms":
		return true
	}
	return false
}

// childTitle is "anak", a child; see dropTitles.
const childTitle = "an"

// isBaby reports whether w marks a newborn registered under the mother's name.
func isBaby(w string) bool { return w == "by" || w == "bayi" }

// isParticle reports whether w stands for "child of".
func isParticle(w string) bool {
	switch w {
	case "bin", "binti", "binte", "bt", "bte":
		return true
	}
	return false
}

// isDegree reports whether w is dropped after a comma. A shape such as "s."
// and anything would also take names ("M.Yusuf"): a degree kept costs a match,
// a name lost finds a stranger.
func isDegree(w string) bool {
	switch w {
	case "amd", "amdkeb", "amdkep", "amdkes", "amdgz", "amdrmik", "amdak", "amdfarm", "amdrad",
		"sag", "sars", "sds", "se", "sei", "sfarm", "sfil", "sft", "sgz", "sh", "shi", "shut", "sik", "sikom", "sip",
		"sked", "skeb", "skep", "skes", "skg", "skh", "skm", "skom", "skpm", "smb", "spd", "spdi", "spi", "spsi", "spt",
		"ss", "ssi", "ssn", "ssos", "ssosi", "sst", "sstp", "sstr", "st", "sth", "stp", "str", "strkeb", "strkep", "strkes", "strgz",
		"mag", "mars", "mba", "mbiomed", "mbmed", "mepid", "mfarm", "mft", "mgizi", "mh", "mha", "mhkes", "mhum",
		"mikom", "mked", "mkedu", "mkeb", "mkep", "mkes", "mkkk", "mkm", "mkn", "mkom", "mm", "mmed", "mmedkom", "mmrs",
		"mpd", "mpdi", "mph", "mpsi", "msc", "msi", "msn", "mt", "mtr", "mtrkeb", "mtrkep", "phd", "llm",
		"spa", "span", "spand", "spak", "spb", "spba", "spbm", "spbp", "spbpre", "spbs", "spbtkv", "spbonk", "spbu", "spbv",
		"spdv", "spdve", "spem", "spf", "spfk", "spgk", "spjp", "spk", "spkfr", "spkg", "spkga", "spkj", "spkk", "spkl", "spkn", "spkp",
		"spm", "spmk", "spn", "spog", "spok", "spon", "sponkrad", "spot", "spp", "sppa", "sppd", "sppk", "sppm",
		"sppros", "sprad", "sprm", "sprkg", "sps", "sptht", "spthtbkl", "spthtkl", "spu",
		"ners", "ftr", "finasim", "facc", "facs", "fiha", "k":
		return true
	}
	return false
}
