"""The fixed words of the picture world: colours and the names of shapes. Data only.

Colour tables map a word to the colours (sRGB hex) that it may mean; a colour is drawn by word first, then by hex.
Phrase tables map a name of the drawing style to the words said for it; `{c}` stands for a colour word.
"""

HAIR_COLORS = {
    "black": ("#3b2f2f", "#2c222b"),
    "brown": ("#a56b46", "#7b4a2d", "#5a3825"),
    "blond": ("#d9b380", "#c98850", "#e8d4a8"),
    "ginger": ("#b55239",),
    "red": ("#d6455d",),
    "green": ("#3fb27f",),
    "violet": ("#6d5acf",),
}
HAT_COLORS = {
    "tan": ("#c68a5f",),
    "white": ("#f2f2f2",),
    "lilac": ("#8d95d6",),
    "coral": ("#e0876d",),
    "teal": ("#5ba8a0",),
    "gold": ("#d9a03c",),
    "purple": ("#a06fb8",),
    "blue": ("#4a6fa5",),
}
SKIN_COLORS = {
    "pale": ("#f5d0b0",),
    "light": ("#eab890", "#dda878"),
    "tan": ("#b07347", "#c99062"),
    "dark": ("#7d4a26", "#95562f", "#6a3d1f"),
}
SHIRT_COLORS = {
    "blue": ("#4c6ef5", "#228be6"),
    "green": ("#40c057",),
    "teal": ("#12b886",),
    "orange": ("#f76707", "#e8590c"),
    "purple": ("#7950f2",),
    "pink": ("#e64980",),
    "grey": ("#495057",),
    "yellow": ("#fab005",),
}
JACKET_COLORS = {
    "white": ("#f8f9fa",),
    "black": ("#343a40",),
    "blue": ("#3b5b8c",),
    "brown": ("#6b4f3a",),
    "red": ("#b55239",),
    "teal": ("#5ba8a0",),
}
TROUSER_COLORS = {
    "blue": ("#3b5b8c", "#2f4160", "#7a86a8"),
    "grey": ("#495057", "#4a4e69"),
    "brown": ("#6b4f3a",),
}
SHOE_COLORS = {
    "white": ("#f1f3f5",),
    "black": ("#343a40",),
    "pink": ("#d6336c",),
    "blue": ("#1971c2",),
    "orange": ("#f08c00",),
    "purple": ("#6741d9",),
}
ROBOT_COLORS = {
    "white": ("#e9ecef",),
    "grey": ("#aeb8c2",),
    "blue": ("#74c0fc",),
    "teal": ("#63e6be",),
    "yellow": ("#ffd43b",),
    "pink": ("#ff9d9d",),
    "purple": ("#b6a6f5",),
    "green": ("#69db7c",),
}
METAL_COLORS = {
    "black": ("#343a40", "#2f3b4c"),
    "grey": ("#495057", "#5f6b7a"),
    "brown": ("#7a4a2d",),
    "blue": ("#243b53",),
}
SCREEN_COLORS = {"dark": ("#161a21", "#101c17", "#1a1430", "#211016")}
GLOW_COLORS = {
    "cyan": ("#3bc9db",),
    "green": ("#69db7c",),
    "yellow": ("#ffd43b",),
    "red": ("#ff6b6b",),
    "pink": ("#e599f7",),
    "blue": ("#74c0fc",),
    "white": ("#fff3bf",),
}
PASTEL_COLORS = {
    "blue": ("#7dd3fc",),
    "purple": ("#a5b4fc", "#c4b5fd"),
    "pink": ("#f0abfc", "#fda4af", "#fca5a5"),
    "orange": ("#fdba74",),
    "yellow": ("#fcd34d",),
    "green": ("#bef264", "#6ee7b9"),
    "teal": ("#5eead4",),
    "white": ("#e2e8f0",),
}
CLAY_COLORS = {
    "orange": ("#c4795c", "#d99277"),
    "yellow": ("#e0bd6a", "#cf9f52"),
    "green": ("#a8b37e", "#8ba06b"),
    "teal": ("#83b0a4",),
    "blue": ("#86a5c3",),
    "purple": ("#9793bd", "#ab8bbd"),
    "pink": ("#cd8ea6",),
    "grey": ("#b3a696",),
}
LEAF_COLORS = {"green": ("#4ade80", "#34d399", "#2dd4bf", "#a3e635", "#86efac", "#6ee7b9", "#22c55e", "#10b981")}
BLOOM_COLORS = {
    "pink": ("#f0abfc", "#fda4af", "#f9a8d4"),
    "red": ("#fb7185", "#fca5a5"),
    "orange": ("#fdba74",),
    "yellow": ("#fcd34d",),
    "purple": ("#c4b5fd",),
}

HAIR_STYLES = {
    "short": "short {c} hair",
    "spiky": "spiky {c} hair",
    "bowl": "a {c} bowl cut",
    "sideSwept": "side-swept {c} hair",
    "curly": "curly {c} hair",
    "mohawk": "a {c} mohawk",
    "buns": "{c} hair buns",
    "ponytail": "a {c} ponytail",
    "bob": "a {c} bob",
    "shoulderLength": "shoulder-length {c} hair",
    "longStraight": "long straight {c} hair",
    "longWavy": "long wavy {c} hair",
    "partedLong": "long parted {c} hair",
    "braids": "{c} braids",
    "twinTails": "{c} twin tails",
    "afro": "a {c} afro",
    "halfShaved": "half-shaved {c} hair",
}
HATS = {
    "cap": "a {c} cap",
    "beanie": "a {c} beanie",
    "animalEars": "{c} animal ears",
    "bunnyEars": "{c} bunny ears",
}
BEARDS = {"full": "a {c} beard", "mustache": "a {c} moustache", "goatee": "a {c} goatee", "stubble": "stubble"}
GLASSES = {
    "round": "round glasses",
    "square": "square glasses",
    "shades": "sunglasses",
    "cat": "cat-eye glasses",
    "visor": "a visor",
}
OUTFITS = {
    "plain": "a {c} shirt",
    "stripes": "a {c} striped shirt",
    "hoodie": "a {c} hoodie",
    "tie": "a {c} shirt and a tie",
    "overalls": "{c} overalls",
    "checker": "a checker vest",
    "jacket": "a {c} jacket",
    "suit": "a {c} suit",
    "coat": "a {c} coat",
    "dress": "a {c} dress",
}
PERSON_MOUTHS = {
    "smile": "smiling",
    "wideSmile": "smiling",
    "bigSmile": "grinning",
    "grin": "grinning",
    "laugh": "laughing",
    "frown": "frowning",
    "ooh": "surprised",
    "tongue": "sticking out the tongue",
    "flat": "",
    "smirk": "",
}
PERSON_EYES = {
    "open": "",
    "soft": "",
    "wide": "",
    "happy": "with happy eyes",
    "sleepy": "sleepy",
    "side": "looking sideways",
    "closed": "with closed eyes",
    "star": "starry-eyed",
}
