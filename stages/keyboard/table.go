package keyboard

// keymaps says in the words of XKB what the keymaps of the console are.
// It is the table kbd-model-map of systemd (src/locale/kbd-model-map, version
// 257), by which systemd-localed does the same, of keymaps that it has twice
// the first. Of its options there are those for two layouts; the other one
// (terminate:ctrl_alt_bksp) is a matter of X11. Three variants that XKB does not
// have are corrected: bg_pho-utf8, ro-cedilla, ro-std-cedilla.
var keymaps = map[string]Keyboard{
	"be-latin1":            {Layout: "be"},
	"bg_bds-utf8":          {Layout: "bg,us"},
	"bg_pho-utf8":          {Layout: "bg,us", Variant: "phonetic,"},
	"br-abnt2":             {Model: "abnt2", Layout: "br"},
	"by":                   {Layout: "by,us"},
	"cf":                   {Layout: "ca"},
	"croat":                {Layout: "hr"},
	"cz-lat2":              {Layout: "cz", Variant: "qwerty"},
	"cz-qwerty":            {Layout: "cz,us", Variant: "qwerty,"},
	"cz-us-qwertz":         {Layout: "cz,us"},
	"de":                   {Layout: "de"},
	"de-latin1":            {Layout: "de"},
	"de-latin1-nodeadkeys": {Layout: "de", Variant: "nodeadkeys"},
	"dk":                   {Layout: "dk"},
	"dk-latin1":            {Layout: "dk"},
	"dvorak":               {Layout: "us", Variant: "dvorak"},
	"es":                   {Layout: "es"},
	"es-dvorak":            {Model: "microsoftpro", Layout: "es", Variant: "dvorak"},
	"et":                   {Layout: "ee"},
	"fi":                   {Layout: "fi"},
	"fr":                   {Layout: "fr"},
	"fr-latin1":            {Layout: "fr"},
	"fr-latin9":            {Layout: "fr", Variant: "latin9"},
	"fr-pc":                {Layout: "fr"},
	"fr_CH":                {Layout: "ch", Variant: "fr"},
	"fr_CH-latin1":         {Layout: "ch", Variant: "fr"},
	"ge":                   {Layout: "ge,us"},
	"gr":                   {Layout: "gr,us"},
	"hu":                   {Layout: "hu"},
	"hu101":                {Layout: "hu", Variant: "qwerty"},
	"ie":                   {Layout: "ie"},
	"il":                   {Layout: "il"},
	"is-latin1":            {Layout: "is"},
	"it":                   {Layout: "it"},
	"it-ibm":               {Layout: "it"},
	"it2":                  {Layout: "it"},
	"jp106":                {Model: "jp106", Layout: "jp"},
	"kazakh":               {Layout: "kz,us"},
	"khmer":                {Layout: "kh,us"},
	"ko":                   {Layout: "kr"},
	"la-latin1":            {Layout: "latam"},
	"lt":                   {Layout: "lt"},
	"lt.baltic":            {Layout: "lt"},
	"lt.l4":                {Layout: "lt"},
	"lv":                   {Layout: "lv", Variant: "apostrophe"},
	"lv-tilde":             {Layout: "lv", Variant: "tilde"},
	"mk-utf":               {Layout: "mk,us"},
	"nl":                   {Layout: "nl"},
	"no":                   {Layout: "no"},
	"pl2":                  {Layout: "pl"},
	"pt-latin1":            {Layout: "pt"},
	"ro":                   {Layout: "ro"},
	"ro-cedilla":           {Layout: "ro"},
	"ro-std":               {Layout: "ro", Variant: "std"},
	"ro-std-cedilla":       {Layout: "ro", Variant: "std"},
	"ru":                   {Layout: "ru,us"},
	"sg":                   {Layout: "ch", Variant: "de_nodeadkeys"},
	"sg-latin1":            {Layout: "ch", Variant: "de_nodeadkeys"},
	"sk-qwerty":            {Layout: "sk", Variant: "qwerty"},
	"sk-qwertz":            {Layout: "sk"},
	"slovene":              {Layout: "si"},
	"sr-cy":                {Layout: "rs"},
	"sr-latin":             {Layout: "rs", Variant: "latin"},
	"sv-latin1":            {Layout: "se"},
	"tj_alt-UTF8":          {Layout: "tj"},
	"trq":                  {Layout: "tr"},
	"ua-utf":               {Layout: "ua,us"},
	"uk":                   {Layout: "gb"},
	"us":                   {Layout: "us"},
	"us-acentos":           {Layout: "us", Variant: "intl"},
}

// layouts are the layouts that XKB has in Debian 12 and 13 (the section
// "layout" of rules/base.lst in xkb-data). Keymaps of the console that were made
// from them, as those of other distributions, have their names: gb, us-intl.
const layouts = `
af al am ara at au az ba bd be bg br brai bt bw by ca cd ch cm cn cz de dk dz ee epo es et fi fo fr
gb ge gh gn gr hr hu id ie il in iq ir is it jp ke kg kh kr kz la latam lk lt lv ma md me mk ml mm
mn mt mv my ng nl no np ph pk pl pt ro rs ru se si sk sn sy tg th tj tm tr tw tz ua us uz vn za
`
