# Sourced before `mpirun --hostfile HOSTS lime train ...`: it notices within 20 seconds that a host is gone whose network says nothing any more;
# Open MPI alone takes 8 minutes. Open MPI 4 reads the last line but one, PRRTE, which is Open MPI 5's mpirun, the last.
# What mpi_environment.sh set, where it was sourced before, would start all ranks on this host, without a word.
if [ "${OMPI_MCA_plm:-}" = isolated ]; then
  unset OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_hwloc_base_binding_policy OMPI_MCA_plm OMPI_MCA_pml OMPI_MCA_btl
  unset PRTE_MCA_rmaps_default_mapping_policy PRTE_MCA_hwloc_default_binding_policy
fi
export OMPI_MCA_oob_tcp_keepalive_time=10 OMPI_MCA_oob_tcp_keepalive_intvl=5 OMPI_MCA_oob_tcp_keepalive_probes=2
export PRTE_MCA_oob_tcp_keepalive_time=10 PRTE_MCA_oob_tcp_keepalive_intvl=5 PRTE_MCA_oob_tcp_keepalive_probes=2
