package web

// icd10 are diagnoses that a form suggests: codes of ICD-10 (WHO) that a first
// contact meets often, with short names. Any other text may be entered.
func icd10() []string {
	return []string{
		"A09 Gastroenteritis", "A15.0 Pulmonary tuberculosis", "A90 Dengue fever", "B20 HIV disease", "B35.4 Tinea corporis", "B54 Malaria", "B86 Scabies",
		"D50.9 Iron deficiency anaemia", "E03.9 Hypothyroidism", "E11.9 Type 2 diabetes", "E66.9 Obesity", "E78.5 Hyperlipidaemia",
		"F32.9 Depressive episode", "F41.1 Generalised anxiety disorder", "F43.2 Adjustment disorder", "G43.9 Migraine", "G47.0 Insomnia",
		"H10.9 Conjunctivitis", "H66.9 Otitis media", "I10 Hypertension", "I20.9 Angina pectoris", "I48 Atrial fibrillation", "I49.9 Arrhythmia", "I50.9 Heart failure",
		"J02.9 Acute pharyngitis", "J06.9 Upper respiratory infection", "J18.9 Pneumonia", "J44.9 COPD", "J45.9 Asthma",
		"K21.9 Reflux disease", "K29.7 Gastritis", "K59.0 Constipation", "L20.9 Atopic dermatitis", "L50.9 Urticaria",
		"M10.9 Gout", "M17.9 Osteoarthritis of the knee", "M54.5 Low back pain", "N39.0 Urinary tract infection", "O26.9 Pregnancy-related condition",
		"R07.4 Chest pain", "R50.9 Fever", "R51 Headache", "Z00.0 General examination", "Z23 Immunisation", "Z34.9 Supervision of normal pregnancy",
	}
}
