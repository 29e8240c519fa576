package main

// A measure is an observation with a number: low and high are in units of the
// last decimal.
type measure struct {
	coding
	low, high, decimals int
	unit                string
}

// As they occur in the Synthea sets and the SATUSEHAT payloads.
var signs = [...]measure{
	{coding{loinc, "8867-4", "Heart rate"}, 58, 104, 0, "/min"},
	{coding{loinc, "9279-1", "Respiratory rate"}, 12, 22, 0, "/min"},
	{coding{loinc, "8310-5", "Body temperature"}, 360, 384, 1, "Cel"},
	{coding{loinc, "72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported"}, 0, 6, 0, "{score}"},
}

var laboratory = [...]measure{
	{coding{loinc, "2339-0", "Glucose"}, 70, 190, 0, "mg/dL"},
	{coding{loinc, "6299-2", "Urea Nitrogen"}, 7, 22, 0, "mg/dL"},
	{coding{loinc, "38483-4", "Creatinine"}, 5, 16, 1, "mg/dL"},
	{coding{loinc, "49765-1", "Calcium"}, 84, 104, 1, "mg/dL"},
	{coding{loinc, "2947-0", "Sodium"}, 135, 146, 0, "mmol/L"},
	{coding{loinc, "6298-4", "Potassium"}, 35, 52, 1, "mmol/L"},
	{coding{loinc, "2069-3", "Chloride"}, 98, 110, 0, "mmol/L"},
	{coding{loinc, "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"}, 45, 96, 1, "%"},
	{coding{loinc, "2093-3", "Total Cholesterol"}, 140, 260, 0, "mg/dL"},
	{coding{loinc, "2571-8", "Triglycerides"}, 70, 280, 0, "mg/dL"},
	{coding{loinc, "18262-6", "Low Density Lipoprotein Cholesterol"}, 60, 180, 0, "mg/dL"},
	{coding{loinc, "2085-9", "High Density Lipoprotein Cholesterol"}, 32, 78, 0, "mg/dL"},
	{coding{loinc, "718-7", "Hemoglobin [Mass/volume] in Blood"}, 105, 168, 1, "g/dL"},
	{coding{loinc, "777-3", "Platelets [#/volume] in Blood by Automated count"}, 160, 420, 0, "10*3/uL"},
	{coding{loinc, "6690-2", "Leukocytes [#/volume] in Blood by Automated count"}, 40, 115, 1, "10*3/uL"},
}

// A disease is drawn for patients of at least from years, and of one sex if it
// names one.
type disease struct {
	coding
	from   int
	gender string
}

const icd10 = "http://hl7.org/fhir/sid/icd-10"

var diseases = [...]disease{
	{coding{snomed, "195662009", "Acute viral pharyngitis (disorder)"}, 0, ""},
	{coding{snomed, "444814009", "Viral sinusitis (disorder)"}, 0, ""},
	{coding{snomed, "10509002", "Acute bronchitis (disorder)"}, 0, ""},
	{coding{snomed, "43878008", "Streptococcal sore throat (disorder)"}, 0, ""},
	{coding{snomed, "446096008", "Perennial allergic rhinitis"}, 3, ""},
	{coding{snomed, "233678006", "Childhood asthma"}, 3, ""},
	{coding{snomed, "271737000", "Anemia (disorder)"}, 5, ""},
	{coding{snomed, "44465007", "Sprain of ankle"}, 8, ""},
	{coding{snomed, "84757009", "Epilepsy"}, 5, ""},
	{coding{icd10, "K35.8", "Acute appendicitis, other and unspecified"}, 10, ""},
	{coding{snomed, "196416002", "Impacted molars"}, 17, ""},
	{coding{snomed, "40055000", "Chronic sinusitis (disorder)"}, 18, ""},
	{coding{snomed, "162864005", "Body mass index 30+ - obesity (finding)"}, 18, ""},
	{coding{snomed, "15777000", "Prediabetes"}, 25, ""},
	{coding{snomed, "44054006", "Diabetes"}, 30, ""},
	{coding{snomed, "38341003", "Hypertension"}, 30, ""},
	{coding{snomed, "55822004", "Hyperlipidemia"}, 30, ""},
	{coding{snomed, "302870006", "Hypertriglyceridemia (disorder)"}, 30, ""},
	{coding{snomed, "53741008", "Coronary Heart Disease"}, 45, ""},
	{coding{snomed, "239872002", "Osteoarthritis of hip"}, 50, ""},
	{coding{snomed, "64859006", "Osteoporosis (disorder)"}, 55, "female"},
}

var (
	reactive    = coding{snomed, "11214006", "Reactive"}
	nonReactive = coding{snomed, "131194007", "Non-Reactive"}
)

type regency struct{ name, province string }

// Real regions, as in the ministry's list of 2025.
var regencies = [...]regency{
	{"Kota Medan", "Sumatera Utara"},
	{"Kota Padang", "Sumatera Barat"},
	{"Kota Palembang", "Sumatera Selatan"},
	{"Kota Administrasi Jakarta Selatan", "Daerah Khusus Ibukota Jakarta"},
	{"Kota Bandung", "Jawa Barat"},
	{"Kabupaten Bandung", "Jawa Barat"},
	{"Kota Semarang", "Jawa Tengah"},
	{"Kota Yogyakarta", "Daerah Istimewa Yogyakarta"},
	{"Kota Surabaya", "Jawa Timur"},
	{"Kabupaten Malang", "Jawa Timur"},
	{"Kota Denpasar", "Bali"},
	{"Kota Kupang", "Nusa Tenggara Timur"},
	{"Kota Banjarmasin", "Kalimantan Selatan"},
	{"Kota Makassar", "Sulawesi Selatan"},
	{"Kota Ambon", "Maluku"},
	{"Kota Jayapura", "Papua"},
}

var flowers = [...]string{"Anggrek", "Bakung", "Cempaka", "Dahlia", "Flamboyan", "Kamboja", "Kemuning", "Kenanga", "Sedap Malam", "Seroja", "Teratai", "Wijayakusuma"}

// The clinics stay clear in the quickstart, so none is named after a place or a
// street of the data.
var clinics = [...]string{"Klinik Harapan Satu", "Klinik Harapan Dua", "Klinik Harapan Tiga", "Klinik Sehat Jauh", "Klinik Sehat Dekat", "Klinik Pelita Daring"}

var notes = [...]string{
	"Lebih suka dihubungi pada sore hari.",
	"Takut jarum suntik; minta ditemani saat pengambilan darah.",
	"Datang bersama kakak, yang boleh mendengar hasil pemeriksaan.",
	"Tidak ingin suami diberi tahu tentang kunjungan ini.",
	"Bekerja malam; minum obat sering terlambat.",
	"Minta penjelasan dalam bahasa daerah.",
	"Khawatir kehilangan pekerjaan bila atasan tahu sakitnya.",
	"Kunjungan lewat video; sambungan putus dua kali.",
	"Obat terakhir dibeli tanpa resep di warung.",
	"Alergi antibiotik menurut ibu pasien, belum dipastikan.",
}
