"""What is learned: each objective is a module whose forward gives a loss and its named parts."""
