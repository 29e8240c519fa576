package seed

func men() []string {
	return []string{"Adi", "Agus", "Bagus", "Bayu", "Cahyo", "Dimas", "Eko", "Fajar", "Gilang", "Hadi", "Irfan", "Joko", "Kurnia", "Lukman", "Made", "Nanda", "Panji", "Rizky", "Surya", "Teguh", "Wahyu", "Yoga"}
}

func women() []string {
	return []string{"Anisa", "Bunga", "Citra", "Dewi", "Endah", "Fitri", "Gita", "Hana", "Indah", "Kartika", "Lestari", "Maya", "Nadia", "Putri", "Ratna", "Sari", "Tari", "Utami", "Wulan", "Yuni"}
}

func families() []string {
	return []string{"Anggraini", "Basuki", "Firmansyah", "Gunawan", "Hidayat", "Kusuma", "Lubis", "Mahendra", "Nasution", "Permana", "Pratama", "Purnomo", "Rahayu", "Santoso", "Setiawan", "Siregar", "Susanto", "Wibowo", "Wijaya", "Yulianto"}
}

func allergies() []string {
	return []string{"Penicillin", "Sulfonamide", "Peanut", "Shellfish", "Latex", "Dust mite"}
}

type story struct{ complaint, diagnosis, notes string }

func stories() []story {
	return []story{
		{"Wheezing at night, worse in the rain", "J45.9 Asthma", "Peak flow 310. Inhaler technique shown again. Review in two weeks."},
		{"Headache in the mornings", "I10 Hypertension", "164/98 and 158/96. Salt, walking, amlodipine 5 mg. Home readings for a week."},
		{"Thirsty all day", "E11.9 Type 2 diabetes", "HbA1c 8.1 %. Metformin 500 mg twice daily. Eyes and feet to be looked at."},
		{"Fever for four days, pain behind the eyes", "A90 Dengue fever", "Platelets 118. Fluids, paracetamol, no ibuprofen. Blood count tomorrow."},
		{"Burning behind the breastbone after meals", "K21.9 Reflux disease", "No alarm signs. Omeprazole for four weeks."},
		{"Cough for three weeks, night sweats", "A15.0 Pulmonary tuberculosis", "Sputum sent. Contacts to be asked."},
		{"Palpitations while climbing stairs", "I49.9 Arrhythmia", "ECG recorded, see file. Caffeine discussed."},
		{"Low back pain after lifting", "M54.5 Low back pain", "No deficit. Stay active. Warmth."},
		{"Itching between the fingers", "B86 Scabies", "The household is treated together. Permethrin."},
		{"Tired, pale", "D50.9 Iron deficiency anaemia", "Hb 9.6. Iron. Cause to be found."},
	}
}

func counsellings() []string {
	return []string{
		"Sleeps badly since the move. No thoughts of self-harm. Returns next week.",
		"Grief after a loss in the family. Asked to keep this from the family.",
		"Panic in crowds. Breathing exercises practised.",
	}
}
