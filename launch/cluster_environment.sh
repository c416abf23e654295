# Sourced before `mpirun --hostfile HOSTS lime train ...`: it notices within 20 seconds that a host is gone whose network says nothing any more;
# Open MPI alone takes 8 minutes. Open MPI 4 reads the first line, PRRTE, which is Open MPI 5's mpirun, the second.
export OMPI_MCA_oob_tcp_keepalive_time=10 OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=2
export PRTE_MCA_oob_tcp_keepalive_time=10 PRTE_MCA_oob_tcp_keepalive_intvl=5 PRTE_MCA_oob_tcp_keepalive_probes=2
