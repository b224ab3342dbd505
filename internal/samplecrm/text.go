package samplecrm

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// words are drawn nine bits at a time, so there must be at least 512.
var words = strings.Fields(`
the the the the to to to and and and of of a a in in is for for we we you you our your on with that this be as at
are have will it not can from by has was they if or but all would about there more when which their been than
account action agenda agreement allocation amount analysis annual answer approval april area arrangement article
assessment asset assistant attached audit august automation available balance bank baseline basis benefit billing
board branch brief budget build bundle business buyer calendar call campaign capacity case catalogue category
centre change channel charge checklist clause client close cloud comment commission committee company comparison
competitor compliance concern condition conference confirm connection consultant contact contract control copy
cost coverage credit criteria currency current custom customer cycle data date deadline deal december decision
default delay delivery demo department deposit design desk detail developer difference direct director discount
discussion distribution document domain draft driver due duration early economy effort email employee end engine
enquiry enterprise equipment estimate european evaluation event evidence example exchange executive expansion
expense experience export extension factory family feature february feedback field figure file final finance
first fiscal floor focus follow forecast format forward framework freight friday function funding further general
global goal goods group growth guarantee guide half handover hardware head help holiday hosting hour human idea
implementation import improvement incident income increase index industry information initial input inspection
installation instance insurance integration interest internal interview inventory invoice issue item january job
journey july june key kick-off label language large last launch lead leader legal letter level licence limit line
list loan local location logistics machine mail main maintenance manager manual margin market material matter
measure media meeting member message method migration milestone minimum minute mobile model module monday money
month morning move multi name negotiation network new next note notice number objective october offer office
online onboarding open operation opinion option order organisation original outcome output overview owner package
page paper partner party path payment penalty people percent performance period person phase phone pilot pipeline
place plan plant platform point policy portal portfolio position possible presentation price priority problem
process procurement product production profile profit programme progress project proof proposal provider purchase
purpose quality quantity quarter question quick quote range rate reason receipt record reduction reference region
release reminder renewal rental report request requirement research reseller reserve resource response result
retail return revenue review revised risk roadmap role rollout room rule safety salary sale sample saving scale
schedule scope screen season seat second section sector security segment selection seller sender september series
server service session set shipment shop signature site small software solution source space specification sponsor
staff stage standard start statement status step stock storage strategy structure subject subscription supplier
support survey system table target tariff task team technical template tender term test thursday ticket timeline
title today tool topic total tracking trade traffic training transfer transition travel trial tuesday turnover
type unit update upgrade usage user value variant vendor version visit volume warehouse warranty website
wednesday week workflow workshop year`)

// phrases are what people in sales write again and again.
var phrases = strings.Split(strings.TrimSpace(`
thank you for taking the time to speak with us
please find the revised quotation attached
could we move the call to next week
they are comparing us with two other vendors
legal asked for a change in the liability clause
I will follow up after the steering committee
the decision maker is back from holiday on Monday
budget is approved for this quarter
we still need the signed data processing agreement
the pilot went well and they want to extend it
pricing for the second year is the open question
let me know if you need anything else from our side
procurement wants payment within 60 days
the integration with their warehouse system works
they had an outage last month and are worried about support
sent a reminder about the outstanding invoice`), "\n")

// A person's name as written, and as it appears in a mail address.
type name struct{ written, address string }

var firstNames = []name{
	{"Anna", "anna"}, {"José", "jose"}, {"Zoë", "zoe"}, {"Łukasz", "lukasz"}, {"Søren", "soren"}, {"Jürgen", "juergen"},
	{"Müge", "muege"}, {"Renée", "renee"}, {"Siân", "sian"}, {"Noémi", "noemi"}, {"Дмитрий", "dmitri"}, {"Ольга", "olga"},
	{"Ελένη", "eleni"}, {"Νίκος", "nikos"}, {"太郎", "taro"}, {"美咲", "misaki"}, {"伟", "wei"}, {"秀英", "xiuying"},
	{"지우", "jiwoo"}, {"민준", "minjun"}, {"محمد", "mohammed"}, {"فاطمة", "fatima"}, {"דוד", "david"}, {"अनिल", "anil"},
	{"प्रिया", "priya"}, {"Thảo", "thao"}, {"Åsa", "asa"}, {"Grace", "grace"}, {"Tom", "tom"}, {"Ingrid", "ingrid"},
	{"Marek", "marek"}, {"Chloé", "chloe"}, {"Paul", "paul"}, {"Björk", "bjork"}, {"Ayşe", "ayse"}, {"Inês", "ines"},
}

var lastNames = []name{
	{"Müller", "mueller"}, {"García", "garcia"}, {"O’Brien", "obrien"}, {"Nowak", "nowak"}, {"Østergård", "ostergard"},
	{"Çelik", "celik"}, {"Dvořák", "dvorak"}, {"Șerban", "serban"}, {"Lefèvre", "lefevre"}, {"Иванова", "ivanova"},
	{"Παπαδόπουλος", "papadopoulos"}, {"山田", "yamada"}, {"佐藤", "sato"}, {"王", "wang"}, {"李", "li"}, {"김", "kim"},
	{"حسن", "hassan"}, {"כהן", "cohen"}, {"शर्मा", "sharma"}, {"Nguyễn", "nguyen"}, {"Åkesson", "akesson"},
	{"Smith", "smith"}, {"Okafor", "okafor"}, {"Van den Berg", "vandenberg"}, {"D’Angelo", "dangelo"}, {"Weiß", "weiss"},
	{"Peña", "pena"}, {"Hernández", "hernandez"}, {"Jørgensen", "jorgensen"}, {"Kowalczyk", "kowalczyk"},
}

var (
	companyNames = strings.Fields("Acme Nordwind Sakura Aurora Borealis Tramontana Kestrel Lumière Meridian Ostrava Pegasus Quercus Río Solaris Tessera Umbra Vistula Wasser Zenit Ångström Delta Fjord Granit Hanse")
	companyForms = []string{"GmbH", "S.A.", "Ltd", "AB", "株式会社", "Sp. z o.o.", "B.V.", "Inc.", "Kft.", "ООО"}
	industries   = []string{"Logistics", "Retail", "Software", "Healthcare", "Machinery", "Food", "Energy", "Education"}
	cities       = []string{"Köln", "São Paulo", "Kraków", "東京", "Αθήνα", "Malmö", "Dublin", "Lyon", "İstanbul", "Toronto", "Wien", "Москва"}
	jobTitles    = []string{"CFO", "Head of Procurement", "IT manager", "Geschäftsführerin", "Directeur commercial", "Office manager", "CTO", "Buyer"}
	authors      = []string{"maria", "jonas", "Ève", "kenji", "olu"}
	kinds        = []string{"email", "email", "email", "call", "meeting", "task"}
)

// prose makes the sample's text. It holds one reused buffer and one random
// source, so it belongs to one goroutine, and equal seeds write equal text.
type prose struct {
	src *rand.PCG
	buf []byte
	now time.Time // the moment being written about; moves on with every stamp
}

func newProse(seed uint64) *prose {
	return &prose{
		src: rand.NewPCG(seed, 0x5a3c_0c12_77d1_e4b9),
		now: time.Date(2023, 1, 2, 8, 0, 0, 0, time.UTC),
	}
}

// below returns a number from 0 to n-1; n must be positive.
func (p *prose) below(n int) int { return int(p.src.Uint64() % uint64(n)) }

func (p *prose) pick(from []string) string { return from[p.below(len(from))] }

// stamp moves the sample's clock on by at most a minute and returns it.
func (p *prose) stamp() string {
	p.now = p.now.Add(time.Duration(p.below(60)) * time.Second)
	return p.now.Format(time.DateTime)
}

// sentence appends n words drawn one by one and ends them with a full stop.
func (p *prose) sentence(n int) {
	for n > 0 {
		bits := p.src.Uint64()
		for i := 0; i < 7 && n > 0; i++ {
			p.buf = append(p.buf, words[bits&511]...)
			p.buf = append(p.buf, ' ')
			bits >>= 9
			n--
		}
	}
	p.buf[len(p.buf)-1] = '.'
	p.buf = append(p.buf, ' ')
}

// paragraph appends sentences until the buffer holds at least size bytes.
func (p *prose) paragraph(size int) {
	for len(p.buf) < size {
		switch p.below(8) {
		case 0:
			p.buf = append(p.buf, p.pick(phrases)...)
			p.buf = append(p.buf, ". "...)
		case 1:
			p.buf = append(p.buf, "Order "...)
			p.buf = strconv.AppendUint(p.buf, p.src.Uint64()%1e12, 36)
			p.buf = append(p.buf, ", "...)
			p.buf = strconv.AppendInt(p.buf, int64(p.below(900_000)), 10)
			p.buf = append(p.buf, " EUR. "...)
		case 2:
			p.buf = append(p.buf, "\n\n"...)
		default:
			p.sentence(5 + p.below(12))
		}
	}
}

// mail is the body of a message of about size bytes.
func (p *prose) mail(size int) string {
	p.buf = append(p.buf[:0], "Dear "...)
	p.buf = append(p.buf, firstNames[p.below(len(firstNames))].written...)
	p.buf = append(p.buf, ",\n\n"...)
	p.paragraph(size)
	p.buf = append(p.buf, "\n\nKind regards\n"...)
	p.buf = append(p.buf, p.pick(authors)...)
	return string(p.buf)
}

// note is what a salesperson jots down after a call.
func (p *prose) note() string {
	p.buf = append(p.buf[:0], "☎ "...)
	p.paragraph(60 + p.below(240))
	return string(p.buf)
}

// title is a short line of n words.
func (p *prose) title(n int) string {
	p.buf = p.buf[:0]
	p.sentence(n)
	return string(p.buf[:len(p.buf)-2])
}

// phone is a number as people type it in.
func (p *prose) phone() string {
	n := strconv.Itoa(1_000_000_000 + p.below(1_000_000_000))
	return "+" + strconv.Itoa(30+p.below(60)) + " " + n[:3] + " " + n[3:6] + "-" + n[6:]
}

// attachment returns a file of about size bytes, valid until the next call:
// one in six is already compressed, as photographs and PDFs are.
func (p *prose) attachment(size int) (fileName, mediaType string, content []byte) {
	p.buf = p.buf[:0]
	switch p.below(6) {
	case 0:
		for len(p.buf) < size {
			bits := p.src.Uint64()
			p.buf = append(p.buf, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24),
				byte(bits>>32), byte(bits>>40), byte(bits>>48), byte(bits>>56))
		}
		return "Foto " + p.now.Format("2006-01-02 150405") + ".jpg", "image/jpeg", p.buf
	case 1:
		p.buf = append(p.buf, "sku;quantity;price\n"...)
		for len(p.buf) < size {
			bits := p.src.Uint64()
			p.buf = append(p.buf, "SKU-"...)
			p.buf = strconv.AppendUint(p.buf, bits&0xffff, 10)
			p.buf = append(p.buf, ';')
			p.buf = strconv.AppendUint(p.buf, bits>>16&0xff, 10)
			p.buf = append(p.buf, ';')
			p.buf = strconv.AppendUint(p.buf, bits>>24&0xfffff, 10)
			p.buf = append(p.buf, ".00\n"...)
		}
		return "Preisliste.csv", "text/csv", p.buf
	}
	p.paragraph(size)
	return "minutes.txt", "text/plain", p.buf
}
