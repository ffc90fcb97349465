"""What the report calls its numbers, and what it says of them."""

GROUPS = {
    "identity": ("Identity", "Who it is, read back from the picture. Balanced accuracy over the people on whom an attribute can be seen."),
    "prompt": ("Prompt", "What the text asked for: the scene, clothes and expression that the reference picture does not show."),
    "said of the person": ("Said of the person", "Attributes asked for in words, in combinations that training never showed."),
    "two people": (
        "Two people",
        "Both subjects in one picture, told apart in the text by the colours of their shirts. Nearest neighbours, where given, are among all of these people, of the region most like each.",
    ),
    "three people": ("Three people", "Asked of the prior in words, hair and skin of each; a subject's region is the one most like it."),
    "other kinds": (
        "Robots, creatures and plants",
        "One in a picture, asked of the prior in words, in combinations that training never showed.",
    ),
    "context": ("Context drift", "Mean absolute difference outside the subjects, in per cent of the full range. Less is better."),
    "routing": ("Routing", "Where the experts drew, against the pixels of the people in the finished picture."),
    "diversity": ("Diversity", "Mean absolute difference between seeds of one subject and prompt, in per cent of the full range."),
    "agreement": ("Agreement", "How often a reconstruction reads as the original render does."),
    "read from reconstructions": (
        "Read from reconstructions",
        "The truth read from reconstructions; the ceiling is the reading of the renders.",
    ),
    "pixels": ("Pixels", "Reconstruction error."),
}
NAMES = {
    "hair_color": "Hair colour",
    "hair_style": "Hair style",
    "skin": "Skin",
    "glasses": "Glasses",
    "beard": "Beard",
    "hat": "Hat",
    "likeness": "All visible attributes",
    "nearest_embedding": "Nearest neighbour, embedding",
    "nearest_histogram": "Nearest neighbour, colour histogram",
    "scene": "Scene",
    "outfit": "Outfit",
    "shirt_color": "Shirt colour",
    "jacket_color": "Colour of jacket, suit, coat or dress",
    "expression": "Expression",
    "number": "Number of people",
    "both_own": "Both identities in their own person",
    "both_nearest": "Both nearest to their own picture, embedding",
    "swapped": "Swapped",
    "duplicates": "Duplicates",
    "missing": "Somebody missing",
    "worst_likeness": "Lesser likeness of the two",
    "kind": "Kind of subject",
    "one_robot": "One robot and nothing else",
    "one_creature": "One creature and nothing else",
    "one_plant": "One plant and nothing else",
    "robot_body_color": "Robot: colour of the body",
    "robot_accent_color": "Robot: colour of the legs",
    "creature_body_color": "Creature: colour of the body",
    "plant_plant": "Plant: which one",
    "plant_pot_color": "Plant: colour of the pot",
    "drift_from_prior": "From the prior's picture, same seed",
    "drift_between_subjects": "Between two subjects, same seed",
    "other_seed": "For scale: the prior with another seed",
    "inside": "Experts' weight on people",
    "outside": "Experts' weight elsewhere",
    "overlap": "Overlap (IoU) of map and people",
    "own_map": "A subject's map on its own person",
    "over_seeds": "Over seeds",
    "all_attributes": "All attributes",
    "psnr": "Peak signal-to-noise ratio",
}
HEADS = {
    "adapter": ("likeness", "expression", "drift_from_prior", "both_own"),
    "prior": ("scene", "shirt_color", "hair_color", "number"),
    "autoencoder": ("all_attributes", "scene", "number", "psnr"),
    "reader": ("likeness", "scene", "nearest_embedding", "both_own"),
}


def name_of(key: str) -> str:
    """The words for a row."""
    return NAMES.get(key, key.replace("_", " ").capitalize())
