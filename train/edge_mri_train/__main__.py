"""`torchrun --nproc-per-node N -m edge_mri_train …` trains in N processes; see `edge-mri train`."""

from edge_mri_train.commands.train import command

if __name__ == "__main__":
    command(prog_name="python -m edge_mri_train")
