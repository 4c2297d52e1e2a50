"""Who supplies and who takes how much in each step of the next day: the problem, its matrix, its plan. Pure."""
